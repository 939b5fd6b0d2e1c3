"""Write ``roles/<role>/README.md`` from what each role's ``meta/argument_specs.yml`` says: ``make readmes``."""

import json
from collections.abc import Iterator
from pathlib import Path

import yaml

ROLES = Path(__file__).resolve().parent.parent / "roles"
HEAD = "<!-- Written by `make readmes` from meta/argument_specs.yml: change that file, not this one. -->"
TABLE = "| variable | type | default | what it is |\n|---|---|---|---|"


def cell(text: str) -> str:
    """Return a text as one cell of a Markdown table: on one line, and with no bar that would end the cell."""
    return " ".join(str(text).split()).replace("|", r"\|")


def code(value: object) -> str:
    """Return a value as code in a cell: texts as they are, everything else as JSON, which YAML reads as well."""
    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    fence = "``" if "`" in written else "`"
    return f"{fence}{cell(written)}{fence}" if written else "empty"


def type_of(option: dict) -> str:
    """Return an option's type, such as ``list of str``; everything that Ansible knows no type for is a str."""
    kind = option.get("type", "str")
    return f"{kind} of {option['elements']}" if "elements" in option else kind


def default_of(option: dict) -> str:
    """Return what an option is when nobody sets it, or that somebody must."""
    if option.get("required"):
        return "**required**"
    return code(option["default"]) if "default" in option else "none"


def description_of(option: dict) -> str:
    """Return an option's description, and its choices where it has some."""
    said = option["description"]
    whole = cell(" ".join(said) if isinstance(said, list) else said)
    choices = ", ".join(code(choice) for choice in option.get("choices", []))
    return f"{whole} One of {choices}." if choices else whole


def rows(options: dict, prefix: str = "") -> Iterator[str]:
    """Yield a table's rows, those of an option's own options right below it as ``option.name``."""
    for name, option in options.items():
        cells = (code(prefix + name), type_of(option), default_of(option), description_of(option))
        yield f"| {' | '.join(cells)} |"
        yield from rows(option.get("options", {}), f"{prefix}{name}.")


def readme(role: str, specs: dict) -> str:
    """Return the README of a role, whose ``argument_specs`` are a dict from entry points to their specs.

    The entry point ``main`` is what a play that names the role runs; the others are run by ``tasks_from``.
    """
    parts = [f"# {role}", HEAD]
    for entry, spec in sorted(specs.items(), key=lambda item: (item[0] != "main", item[0])):
        if entry != "main":
            parts.append(f"## `tasks_from: {entry}`")
        parts.append(cell(spec["short_description"]).rstrip(".") + ".")
        more = spec.get("description", [])
        parts += [more] if isinstance(more, str) else more
        if spec.get("options"):
            parts.append("\n".join([TABLE, *rows(spec["options"])]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def readmes(roles: Path = ROLES) -> dict[Path, str]:
    """Return {path: text} of the READMEs that the roles below a directory should have."""
    return {
        spec.parents[1] / "README.md": readme(
            spec.parents[1].name, yaml.safe_load(spec.read_text(encoding="utf-8"))["argument_specs"]
        )
        for spec in sorted(roles.glob("*/meta/argument_specs.yml"))
    }


if __name__ == "__main__":
    for path, text in readmes().items():
        path.write_text(text, encoding="utf-8")
