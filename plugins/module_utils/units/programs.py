"""Find the files of a program. Programs are named as in Python: services.api, services.worker.leave."""

from pathlib import Path


def program_files(programs: list[str], root: str) -> list[dict[str, str]]:
    """Return [{name, source}] of all files of programs, sorted by name and each once.

    ``root`` is the path of the folder ``services``. ``name`` is the path on a host below the folder in which
    ``services`` lies there, such as services/api/request.py; ``source`` is the path on the control node. A program that
    is a package has all of its own .py files; the __init__.py of every package above a program is there too.

    Raises ValueError for a program that is not there.
    """
    found = {}
    for program in programs:
        first, *below = program.split(".")
        place = Path(root).joinpath(*below)
        files = [place.with_suffix(".py")] if place.with_suffix(".py").is_file() else sorted(place.glob("*.py"))
        if first != "services" or not below or not files:
            raise ValueError(f"{program} is no program below {root}, wanted a name such as services.api.")
        packages = [Path(root).joinpath(*below[:depth]) for depth in range(len(below))]
        for path in [*(package / "__init__.py" for package in packages), *files]:
            found["/".join(["services", *path.relative_to(root).parts])] = str(path)
    return [{"name": name, "source": source} for name, source in sorted(found.items())]
