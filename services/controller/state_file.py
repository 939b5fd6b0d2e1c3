"""The file in which the controller remembers its workers over a restart. It is replaced in one step."""

import json

from services.common.files import replace_json

from .worker import Worker

KEPT = ("state", "models", "multimodal", "why")


def write(path, workers):
    """Write workers ({URL: Worker}) to a file. When that fails, the log says so and the dispatch goes on."""
    known = {url: {name: getattr(worker, name) for name in KEPT} for url, worker in workers.items()}
    try:
        replace_json(path, known)
    except OSError as error:
        print(f"{path} can not be written: {error}", flush=True)


def read(path):
    """Return the workers ({URL: Worker}) of a file, or {} without one. A damaged file is logged and gives {} too."""
    try:
        with open(path) as stream:
            return {url: Worker(**kept) for url, kept in json.load(stream).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        print(f"{path} can not be read, workers have to register again: {error}", flush=True)
        return {}
