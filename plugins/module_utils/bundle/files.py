"""Put a list of files, each known by its sha256, into a directory of a bundle. Python >= 3.6, on the control node.

Local files (``file:`` URLs) are hard-linked, or copied from another file system. The engine that fetches weights brings
the others: resumed at any byte, checked, several at a time.
"""

import os
import urllib.parse
import urllib.request
from typing import Any, Dict, List, NamedTuple

from ..fetch.engine import fetch
from ..fetch.errors import FetchError
from ..fetch.options import Options
from ..storage.digests import sha256_of
from ..storage.files import link_or_copy
from .manifest import BundleError


class BundleFile(NamedTuple):
    """A file that a bundle should hold; ``size`` in bytes is -1 when it is not known before it is fetched."""

    name: str
    sha256: str
    url: str
    size: int = -1


def path_of(url: str) -> str:
    """Return the path of a ``file:`` URL, '' for any other."""
    parts = urllib.parse.urlsplit(url)
    return urllib.request.url2pathname(parts.path) if parts.scheme == "file" else ""


def found_near(wanted: List[BundleFile], near: List[str]) -> List[BundleFile]:
    """Return the files with the URL of one in a directory of ``near``, where one of that name and sha256 lies."""
    found = []
    for item in wanted:
        paths = [os.path.join(folder, item.name) for folder in near]
        here = next((path for path in paths if os.path.isfile(path) and sha256_of(path) == item.sha256), "")
        found.append(item._replace(url="file://" + urllib.parse.quote(os.path.abspath(here))) if here else item)
    return found


def put_near(source: str, final: str, sha256: str) -> bool:
    """Link or copy a file that is near to its final name unless it is there; return whether it was not."""
    if os.path.isfile(final) and sha256_of(final) == sha256:
        return False
    if sha256_of(source) != sha256:
        raise BundleError("%s has another sha256 than the one wanted (%s): remove it." % (source, sha256))
    link_or_copy(source, final)
    return True


def fill_folder(wanted: List[BundleFile], dest: str, check_mode: bool) -> Dict[str, Any]:
    """Fill ``dest`` with these files; return changed, bytes_total, bytes_fetched and bytes_linked (or what would be).

    Files that an earlier call put there and that are not wanted any more are removed. Raises BundleError.
    """
    near = [item for item in wanted if path_of(item.url)]
    missing = [item for item in near if not os.path.isfile(os.path.join(dest, item.name))]
    try:
        if not check_mode:
            os.makedirs(dest, exist_ok=True)
            missing = [item for item in near if put_near(path_of(item.url), os.path.join(dest, item.name), item.sha256)]
        files = []
        for item in wanted if not check_mode else [item for item in wanted if item not in missing]:
            here = path_of(item.url)
            size = os.path.getsize(here) if here else item.size
            # The engine sees that a local file is at its place already and does not fetch it.
            files.append(
                {"name": item.name, "sha256": item.sha256, "url": "http://near.invalid/" if here else item.url}
            )
            files[-1].update({"size": size} if size >= 0 else {})
        source = {"kind": "http", "url": "http://near.invalid/", "files": files}
        nothing = {"changed": False, "bytes_fetched": 0, "bytes_total": 0}
        done = fetch(source, dest, Options(check_mode=check_mode)) if files else nothing
    except FetchError as error:
        raise BundleError(str(error)) from None
    except OSError as error:
        raise BundleError("%s: %s." % (error.filename or dest, (error.strerror or str(error)).lower())) from None
    linked = sum(os.path.getsize(path_of(item.url)) for item in missing)
    return {
        "changed": done["changed"] or bool(missing),
        "bytes_fetched": done["bytes_fetched"],
        "bytes_linked": linked,
        "bytes_total": done["bytes_total"] + (linked if check_mode else 0),
    }
