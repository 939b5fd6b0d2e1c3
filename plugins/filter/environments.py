"""Filters of the environments beside the stack's: the disk space that preflight asks for."""

from collections.abc import Iterable, Mapping


def environments_disk(described: Iterable[Mapping], env: Mapping) -> list[dict]:
    """Return [{path, mb, done}], as preflight_disk has them, of environments that go beside the stack's.

    ``described`` are their descriptions; ``env`` is preflight_env, {} where no environment is wanted.
    """
    if not env:
        return []
    path = env["path"]
    return [{"path": path, "mb": one["env_mb"], "done": f"{path}/{one['name']}-env"} for one in described]


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"environments_disk": environments_disk}
