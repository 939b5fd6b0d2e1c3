"""Every link of the documents leads to something that exists. Every example of a module uses its full name."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from testbed.paths import CLONE
from tests.support.sentences import no_faults

DOCUMENTS = sorted(
    [
        *CLONE.glob("*.md"),
        *CLONE.glob("docs/**/*.md"),
        *CLONE.glob("roles/*/README.md"),
        *CLONE.glob("collections/*/*/*/README.md"),
    ]
)
MODULES = sorted((CLONE / "plugins" / "modules").glob("*.py"))
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


def dead_links(document: Path, text: str) -> list[str]:
    """Return the relative links of a document's text that lead nowhere."""
    return [link for link in LINK.findall(text) if not (document.parent / link).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(CLONE).as_posix())
def test_every_link_leads_somewhere(document):
    assert dead_links(document, document.read_text(encoding="utf-8")) == []


def test_a_dead_link_is_found():
    text = "[a](docs/OPERATIONS.md) [b](docs/no.md#part) [c](https://h/x.md) [d](#here)"
    assert dead_links(CLONE / "README.md", text) == ["docs/no.md"]


def test_each_playbook_for_operators_has_a_page_that_the_index_leads_to():
    index = (CLONE / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    playbooks = {path.name for path in (CLONE / "playbooks").glob("*.yml")} - {"site.yml"}
    no_faults(
        [f"playbooks/{name} has no row" for name in sorted(playbooks) if f"`{name}" not in index],
        of="docs/OPERATIONS.md",
    )
    pages = {path.name for path in (CLONE / "docs" / "operations").glob("*.md")}
    assert pages == set(re.findall(r"\(operations/([a-z_]+\.md)\)", index))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_the_examples_of_a_module_call_it_by_its_full_name(module):
    said = [node for node in ast.parse(module.read_text(encoding="utf-8")).body if isinstance(node, ast.Assign)]
    (examples,) = (ast.literal_eval(node.value) for node in said if ast.unparse(node.targets[0]) == "EXAMPLES")
    assert all(f"fastchat.fleet.{module.stem}" in task for task in yaml.safe_load(examples))
