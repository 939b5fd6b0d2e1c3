"""Show rows as a Markdown table, and write it into a document."""

import re
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = (
    "| fault | sent | answered | lost | at its worker | last loss | longest gap | recovery | load average | goal |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"
)


def seconds(value: float | None) -> str:
    """Return seconds as the table shows them."""
    return "–" if value is None else f"{value:.1f} s"


def line(row: dict[str, Any]) -> str:
    """Return one row of the table."""
    verdict = "met" if not row["missed"] else "**missed**"
    lost = str(row["lost"]) + (f" ({row['truncated']} broke off)" if row["truncated"] else "")
    writing = row["in_flight"] or "–"
    cells = [row["title"], row["sent"], row["answered"], lost, writing, seconds(row["last_loss"]), seconds(row["gap"])]
    recovery = seconds(row["recovery"]) + (f" after {row['held']:.0f} s" if row["held"] >= 1 else "")
    cells += [recovery, f"{row['load']:.1f}", f"{row['goal']}: {verdict}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def reasons(rows: list[dict[str, Any]]) -> str:
    """Return one list item for each loss and each missed goal; '' when there is none."""
    found = []
    for row in rows:
        said = [*row["reasons"], *row["missed"]]
        found += [f"- {row['title']}: {' '.join(sentence.split())}" for sentence in said]
    return "\n".join(found)


def rendered(rows: list[dict[str, Any]]) -> str:
    """Return the table, the reasons of the losses, and the circumstances of the measurement."""
    parts = ["\n".join([HEAD, *map(line, rows)])]
    if said := reasons(rows):
        parts.append("What was lost, and what was missed (times by the fault's clock):\n\n" + said)
    circumstances: dict[str, list[str]] = {}
    for row in rows:
        circumstances.setdefault(f"{row['when']}, {row['under']}", []).append(row["name"])
    said = [f"- {under}: {', '.join(names)}." for under, names in circumstances.items()]
    parts.append("Measured:\n\n" + "\n".join(said))
    return "\n\n".join(parts)


def put(document: Path, rows: list[dict[str, Any]]) -> None:
    """Write the table between the two marks of a document; a document without them is an error."""
    text = document.read_text()
    whole = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.DOTALL)
    if not whole.search(text):
        raise SystemExit(f"{document} has no lines {BEGIN} and {END}: put them where the table belongs.")
    document.write_text(whole.sub(lambda _found: f"{BEGIN}\n\n{rendered(rows)}\n\n{END}", text))
