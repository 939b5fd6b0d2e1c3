"""The file in which the controller remembers its workers over a restart. It is replaced in one step."""

import json
import os

from .worker import Worker

KEPT = ("state", "models", "multimodal", "why")


def write(path, workers):
    """Write workers ({URL: Worker}) to a file. A full disk is said, and does not stop the dispatch."""
    known = {url: {name: getattr(worker, name) for name in KEPT} for url, worker in workers.items()}
    part = path + ".part"
    try:
        with open(part, "w") as stream:
            json.dump(known, stream)
        os.replace(part, path)
    except OSError as error:
        print(f"{path} can not be written: {error}", flush=True)


def read(path):
    """Return the workers ({URL: Worker}) of a file; {} without one, and, with a line in the log, when it is damaged."""
    try:
        with open(path) as stream:
            return {url: Worker(**kept) for url, kept in json.load(stream).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        print(f"{path} can not be read, workers have to register again: {error}", flush=True)
        return {}
