"""Columns of text, one line for each row."""

from __future__ import annotations


def aligned(rows: list[list[str]]) -> list[str]:
    """Return a line for each row, with columns as wide as their widest cell; an empty cell is a dash."""
    filled = [[cell or "-" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*filled, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in filled]
