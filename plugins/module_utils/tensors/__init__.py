"""Read and write the formats of weights: safetensors and torch archives. A pickle is parsed and never executed."""
