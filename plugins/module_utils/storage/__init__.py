"""Files on a disk that may lose power: one durable writer, one lock, one digest.

It also knows what stands in for a file when a fetch went wrong. Every room writes through it.
"""
