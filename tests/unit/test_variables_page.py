"""docs/VARIABLES.md is what the argument specs and the example say, and lacks no variable."""

import re
from pathlib import Path

from ansible_collections.fastchat.fleet.plugins.filter.fleet import known_variables

from testbed.paths import CLONE
from testbed.variables import HIDDEN, PAGE, advice, knobs, page, passed_by_playbooks, specs

ROWS = re.findall(r"^\| `([a-z0-9_]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_page_is_what_the_specs_say():
    assert PAGE.read_text(encoding="utf-8") == page(), "docs/VARIABLES.md is older than the specs: run `make readmes`."


def test_every_variable_that_may_be_set_has_one_row():
    hidden = set().union(*(set(specs()[role]["main"]) - its for role, its in HIDDEN.items()))
    known = set().union(*known_variables(Path(CLONE)).values())
    assert sorted(ROWS) == sorted(known - passed_by_playbooks() - hidden)
    assert set(knobs()) <= set(ROWS)


def test_the_advice_of_a_comment_is_what_to_do():
    comment = (
        "Seconds. The one, and the other (a. b). Change the first where hosts are slow. Leave the second: it follows."
    )
    assert advice(comment) == "Change the first where hosts are slow. Leave the second: it follows."
    assert advice("Seconds of a change.") == ""
