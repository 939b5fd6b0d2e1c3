"""What runs beside FastChat's workers on a host: the probe, and the command that takes a worker out of dispatch."""
