"""Files on a disk that may lose its power: one durable writer, one lock, one digest. Every other room writes through it."""
