"""Check a source that the operator wrote, and open it to ask for its commit and files. Python >= 3.6."""

import contextlib
from typing import Any, Dict, Iterator, Tuple

from . import git_lfs, http_list, hub, local_path
from .errors import FetchError
from .http_client import retried
from .items import Source
from .options import Options
from .urls import public_or_text

KINDS = {"git_lfs": git_lfs.opened, "hub": hub.opened, "http": http_list.opened, "path": local_path.opened}
DEFAULTS = {"kind": "git_lfs", "url": "", "revision": "", "files": [], "sha256": {}, "endpoint": ""}


def checked_source(source: Dict[str, Any]) -> Dict[str, Any]:
    """Return a source with its defaults, and with ``public``, its URL without secrets.

    Raises FetchError for what is missing or unknown.
    """
    known = {**DEFAULTS, **{key: value for key, value in source.items() if value is not None}}
    known["public"] = public_or_text(known["url"])
    if known["kind"] not in KINDS:
        raise FetchError("source kind is %r, wanted one of %s." % (known["kind"], ", ".join(KINDS)))
    if not known["url"] and known["kind"] != "http":
        raise FetchError("a source of kind %s wants a url." % known["kind"])
    if not known["revision"] and known["kind"] in ("git_lfs", "hub"):
        raise FetchError("the source %s wants a revision: a commit, a tag or a branch." % known["public"])
    by_list = known["kind"] == "http"
    if by_list and not known["files"]:
        raise FetchError("a source of kind http wants files: a list of {name, sha256}.")
    for entry in known["files"]:
        if isinstance(entry, dict) != by_list:
            raise FetchError(
                "files has %r, wanted %s."
                % (entry, "{name, sha256} for kind http" if by_list else "a file name pattern")
            )
    return known


@contextlib.contextmanager
def opened(source: Dict[str, Any], options: Options, dest: str = "", inherited: Tuple = ()) -> Iterator[Source]:
    """Yield a checked source that can be asked for its revision and then for its files, with retries.

    ``dest`` is where the files will go, and ``inherited`` the descriptor of its lock, which git holds open too. Both
    are absent where nothing may be written.
    """
    with KINDS[source["kind"]](source, options, dest, inherited) as asked:
        yield Source(
            lambda: retried(asked.resolved, options.retries),
            lambda commit: retried(lambda: asked.listing(commit), options.retries),
        )
