"""Read the formats of weights, and make their headers. A pickle is parsed and never executed; no file is written."""
