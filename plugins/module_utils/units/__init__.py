"""Work out programs, settings and digests of a host's units, on the control node. Reads services/, writes nothing."""
