"""Every role has a README, and it says what the role's argument specs say."""

import pytest

from testbed.role_readmes import ROLES, readme, readmes

READMES = readmes()


def test_every_role_has_specs_from_which_a_readme_is_written():
    assert {path.parent for path in READMES} == {role for role in ROLES.iterdir() if role.is_dir()}


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_a_readme_is_what_the_specs_say(path):
    assert path.exists(), f"{path.parent.name} has no README.md: run `make readmes`."
    assert path.read_text(encoding="utf-8") == READMES[path], f"{path} is older than the specs: run `make readmes`."


def test_a_readme_has_a_row_for_each_option_and_for_each_option_within_one():
    specs = {
        "bundle": {
            "short_description": "Another way in",
            "options": {"port": {"type": "int", "default": 80, "description": "Port."}},
        },
        "main": {
            "short_description": "A role.",
            "description": ["First.", "Second."],
            "options": {
                "role_name": {"type": "str", "required": True, "description": "Whose\n  it is."},
                "role_way": {"type": "str", "choices": ["a", "b"], "default": "", "description": "a | b."},
                "role_wheels": {
                    "type": "list",
                    "elements": "dict",
                    "default": [],
                    "description": "Wheels.",
                    "options": {"url": {"type": "str", "description": "Where."}},
                },
            },
        },
    }
    text = readme("role", specs)
    assert text.startswith("# role\n")
    assert "\nA role.\n\nFirst.\n\nSecond.\n" in text
    assert "\n| `role_name` | str | **required** | Whose it is. |\n" in text
    assert "\n| `role_way` | str | empty | a \\| b. One of `a`, `b`. |\n" in text
    assert "\n| `role_wheels` | list of dict | `[]` | Wheels. |\n| `role_wheels.url` | str | none | Where. |\n" in text
    assert text.index("role_name") < text.index("## `tasks_from: bundle`") < text.index("| `port` | int | `80` |")
