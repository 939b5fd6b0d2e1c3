"""Files on a disk that may lose power: one durable writer, one lock, one digest. Every room writes through it."""
