"""Programs that run beside FastChat's workers: the probe, and the command that takes a worker out of dispatch."""
