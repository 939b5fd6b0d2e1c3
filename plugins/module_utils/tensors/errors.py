"""What is said when weights cannot be used."""

from __future__ import annotations


class WeightsError(Exception):
    """One sentence, with the file and the value in it, that says why weights cannot be used."""
