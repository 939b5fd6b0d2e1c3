"""What the units of a host start with. Control node only: it reads the programs in services/, and writes nothing."""
