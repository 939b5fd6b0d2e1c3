"""The two READMEs stay in step: the same commands, links and documents; and what they tell people to type exists."""

import re
from pathlib import Path

import pytest

from testbed.paths import CLONE
from tests.support.sentences import no_faults

ENGLISH, CHINESE = "README.md", "README.zh-CN.md"
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
# The first cell of a row is what a reader wants, the second the page; a sentence's links are no row.
ROW = re.compile(r"^\| [^|]+ \| \[[^\]]+\]\(([^)\s]+)\) \|$", re.MULTILINE)


def read(name: str) -> str:
    """Return a file of the clone."""
    return (CLONE / name).read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    """Return the lines that a reader types, without their comments."""
    lines = [re.sub(r"\s+#.*", "", line).strip() for block in BLOCK.findall(text) for line in block.splitlines()]
    return [line for line in lines if re.match(r"(make|git|cp|ansible-playbook|fleet) ", line)]


def links(text: str) -> set[str]:
    """Return where a document's links lead, except to the other language."""
    return set(LINK.findall(text)) - {ENGLISH, CHINESE}


def pages(clone: Path) -> set[str]:
    """Return the documents that the READMEs list."""
    found = [*clone.glob("docs/*.md"), clone / "CONTRIBUTING.md", clone / "CHANGELOG.md"]
    return {path.relative_to(clone).as_posix() for path in found}


def test_both_languages_tell_the_reader_the_same_commands():
    assert commands(read(ENGLISH)) == commands(read(CHINESE)) != []


def test_both_languages_have_the_same_links_and_lead_to_each_other():
    assert links(read(ENGLISH)) == links(read(CHINESE)) != set()
    assert CHINESE in LINK.findall(read(ENGLISH)) and ENGLISH in LINK.findall(read(CHINESE))


@pytest.mark.parametrize("name", [ENGLISH, CHINESE])
def test_a_readme_lists_every_document_once_and_in_the_same_order(name):
    listed = ROW.findall(read(name))
    assert listed == ROW.findall(read(ENGLISH))
    assert sorted(listed) == sorted(pages(CLONE))


def test_what_readers_are_told_to_type_exists():
    made = set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), re.MULTILINE)) | {".venv/.done"}
    faults = []
    for name in (ENGLISH, CHINESE, "docs/FLEET.md"):
        text = read(name)
        said = [word for line in commands(text) for word in re.findall(r"\bmake (\S+)", line)]
        said += re.findall(r"`make ([a-z-]+)", text)
        faults += [f"{name} says make {target}, which the Makefile has not" for target in said if target not in made]
        playbooks = re.findall(r"(?<![\w/])((?:playbooks/)?[a-z_]+\.yml)", "\n".join(commands(text)))
        faults += [f"{name} names {path}" for path in playbooks if not (CLONE / path).exists()]
    no_faults(faults, of="what readers type")


def test_a_difference_is_seen():
    typed = "```\nmake demo   # three hosts\ncp -r a b && make test\n```\n"
    text = f"{typed}[a](docs/A.md), ![b](c.svg)\n| x | [d](docs/D.md) |\n"
    assert commands(text) == ["make demo", "cp -r a b && make test"]
    assert links(text) == {"docs/A.md", "c.svg", "docs/D.md"}
    assert ROW.findall(text) == ["docs/D.md"]
