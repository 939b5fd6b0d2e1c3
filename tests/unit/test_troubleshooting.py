"""docs/TROUBLESHOOTING.md has every sentence by which the code refuses or fails, and none that it no longer says."""

import re

import pytest

from testbed.paths import CLONE
from tests.support.messages import (
    HOLE,
    PARTS,
    SAY_NO_FAULT,
    everything,
    of_nginx,
    of_python,
    of_shell,
    of_yaml,
)
from tests.support.sentences import no_faults

PAGE = CLONE / "docs" / "TROUBLESHOOTING.md"
OURS = "| what you see |"  # tables with another heading have what programs of others say
LEAST_LETTERS, MOST_MEANT = 9, 6
FOUND = everything(CLONE)
SAID = [(where, said) for where, said in FOUND if said not in PARTS]


def rows(text: str) -> list[list[str]]:
    """Return the cells of each row of the tables of our own sentences."""
    found, ours = [], False
    for line in text.splitlines():
        if not line.startswith("|"):
            ours = False
        elif line.startswith(OURS):
            ours = True
        elif ours and not line.startswith("|---"):
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def sentences(cell: str) -> list[str]:
    """Return the sentences of a row's first cell; a row may stand for several."""
    return [said.replace(r"\|", "|") for said in re.findall(r"`([^`]+)`", cell)]


def is_meant(pattern: str, said: str) -> bool:
    """Return whether a sentence of the page, whose ellipses stand for anything, is what the code says."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split(HOLE))), said, re.DOTALL) is not None


ROWS = rows(PAGE.read_text(encoding="utf-8"))
PATTERNS = [said for cells in ROWS for said in sentences(cells[0])]


def test_every_refusal_has_a_row():
    missing = dict.fromkeys(
        f"| `{said}` | why | what to do |   ({where})"
        for where, said in SAID
        if not any(is_meant(pattern, said.replace("`", HOLE)) or is_meant(pattern, said) for pattern in PATTERNS)
    )
    no_faults(missing, of="docs/TROUBLESHOOTING.md lacks")


def test_every_row_is_still_in_the_code():
    gone = [
        p for p in PATTERNS if not any(is_meant(p, said.replace("`", HOLE)) or is_meant(p, said) for _, said in SAID)
    ]
    no_faults(gone, of="docs/TROUBLESHOOTING.md has what the code no longer says")


def test_every_row_says_why_and_what_to_do():
    no_faults([str(cells) for cells in ROWS if len(cells) != 3 or not all(cells)], of="not three cells")  # noqa: PLR2004
    no_faults([p for p in PATTERNS if len(re.findall("[A-Za-z]", p)) < LEAST_LETTERS], of="stands for too much")
    meant = {p: [said for said in dict(SAID).values() if is_meant(p, said)] for p in PATTERNS}
    no_faults([f"{p}: {those}" for p, those in meant.items() if len(those) > MOST_MEANT], of="stands for too much")
    no_faults({p for p in PATTERNS if PATTERNS.count(p) > 1}, of="stands there twice")


def test_what_is_left_out_is_still_in_the_code():
    assert {said for _, said in FOUND} >= PARTS
    assert [name for name in SAY_NO_FAULT if not (CLONE / name).exists()] == []


CODE = '''
"""A docstring is not told to anybody at all."""
DOCUMENTATION = "Nor is what documents a module."

def work(module, path, found):
    """Nor is this one here, of course."""
    if found:
        raise OurError(f"{path} is here and has " + found)
    if path:
        raise ValueError("raised by a class of Python")
    module.fail_json(msg="%s came from %d other places" % (path, 2))
    parser.add_argument("--x", help="The help of a command is left out.")
    return [f"{path} is {found!r}, wanted another: take it"] + [f"{'No more of these were found.'} x"]
'''


def test_what_python_says_is_found():
    assert [said for _, said in of_python(CODE)] == [
        "… is here and has …",
        "… came from … other places",
        "… is …, wanted another: take it",
        "No more of these were found.",
    ]


@pytest.mark.parametrize("word", ["print", "warning"])
def test_what_a_service_prints_is_found(word):
    code = f'def work(log, url):\n    log.{word}(f"{{url}} does not answer at all")'
    assert of_python(code, journal=True) == [(2, "… does not answer at all")]
    assert of_python(code) == []


def test_what_tasks_and_templates_say_is_found():
    tasks = [
        {
            "ansible.builtin.assert": {
                "that": "x",
                "fail_msg": "{{ a }} is {{ 'not what ' ~ b ~ ' wanted here' if c else 'x' }}.",
            }
        },
        {"ansible.builtin.fail": {"msg": "This can not go on."}},
        {"vars": {"__x_faults": "{{ ['no such thing is here'] if y else [] }}"}},
        {"ansible.builtin.debug": {"msg": "This is only said to you."}},
    ]
    assert list(of_yaml(tasks)) == ["not what … wanted here", "This can not go on.", "no such thing is here"]
    assert of_shell('echo "no such $model here, {{ wanted }}" >&2; echo "x"') == ["no such … here, …"]
    mapping = "{% set errors = {\n  413: ['a', 'More than ' ~ limit ~ ' bytes.'],\n} %}"
    assert of_nginx(mapping) == ["More than … bytes."]
