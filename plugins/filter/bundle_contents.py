"""Work out what playbooks/bundle.yml fetches for the descriptions that it has read: pure functions."""

from collections.abc import Iterable, Mapping
from urllib.parse import unquote_plus


def bundle_description(name: str, plan: Mapping, folders: Mapping) -> str:
    """Return the path of the file that describes a stack, or an environment beside the stacks.

    ``plan`` is what bundle_plan returned, ``folders`` {stacks: directory, environments: directory}.
    """
    return f"{folders['environments' if name in plan['environments'] else 'stacks']}/{name}.yml"


def bundle_interpreters(described: Iterable[Mapping], table: Mapping, mirror: str) -> list[dict]:
    """Return [{name, sha256, url}] of the interpreters that some stacks take, each once.

    ``described`` are the stacks' descriptions, ``table`` is files/interpreters.yml, ``mirror`` the URL below which its
    paths lie. A stack whose Python the table does not have is a KeyError.
    """
    found = []
    for stack in described:
        build = table["builds"][stack["python"]]
        file = {
            "name": unquote_plus(build["path"]),
            "sha256": build["sha256"],
            "url": f"{mirror}/{build['path']}",
        }
        if file not in found:
            found.append(file)
    return found


def bundle_model_sources(described: Iterable[Mapping], names: Iterable[str]) -> list[dict]:
    """Return [{model, name, source}]: each repository that some models are made of.

    ``described`` are the models' descriptions, in the order of their ``names``.
    """
    return [
        {"model": model, "name": name, "source": source}
        for model, description in zip(names, described, strict=True)
        for name, source in description["sources"].items()
    ]


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {
            "bundle_description": bundle_description,
            "bundle_interpreters": bundle_interpreters,
            "bundle_model_sources": bundle_model_sources,
        }
