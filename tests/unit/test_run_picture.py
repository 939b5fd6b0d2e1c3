"""The picture of a run: what the script draws of a terminal's lines, and that the picture in docs/ loads nothing."""

import importlib.util
import re
import xml.etree.ElementTree as ET

from testbed.paths import CLONE

SPEC = importlib.util.spec_from_file_location("record_run", CLONE / "docs" / "record_run.py")
record_run = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(record_run)
SVG = "{http://www.w3.org/2000/svg}"


def lines_of(picture: str) -> list[str]:
    """Return the lines of text that a picture shows, from top to bottom, without the title."""
    rows: dict[float, str] = {}
    for text in ET.fromstring(picture).iter(f"{SVG}text"):  # noqa: S314  (our own file)
        if "clip-path" in text.attrib:
            rows[float(text.get("y"))] = rows.get(float(text.get("y")), "") + (text.text or "").replace("\xa0", " ")
    return [rows[y].rstrip() for y in sorted(rows)]


def test_the_lines_and_their_colours_are_drawn():
    drawn = record_run.picture(["\x1b[1mServices", "\x1b[0m  gpu01  \x1b[33mchanged <1> & more"], 40, "site.yml")
    assert [line for line in lines_of(drawn) if line] == ["Services", "  gpu01  changed <1> & more"]
    assert "font-weight: bold" in drawn and "#e3b341" in drawn


def test_a_style_goes_on_over_lines_as_a_terminal_says_it_once():
    first, second = re.findall(
        r'class="run-(r\d+)" x="0"', record_run.picture(["\x1b[1m  ", "Runtime", "Weights"], 40, "")
    )
    assert first == second


def test_the_picture_in_the_documents_shows_a_whole_run_and_loads_nothing():
    picture = (CLONE / "docs" / "run.svg").read_text(encoding="utf-8")
    shown = lines_of(picture)
    assert {"Preflight", "Services", "Verify", "Result"} <= {line.strip() for line in shown}
    assert "Paris" in "\n".join(shown)
    assert re.findall(r"url\((?!#)|<image|<script|href=", picture) == []
