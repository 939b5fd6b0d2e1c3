"""Fetch weights: each file once, straight to its place, resumed at any byte, checked, and never twice on the disk.

Runs under any Python >= 3.6 with the standard library; ``fetch`` is the entry. It goes one way: ``sources`` opens the
source and lists its files, ``choice`` says which are wanted, ``task`` writes them. What it leaves in the destination
besides: ``<name>.part`` of a file that was cut off, and ``.weights_fetch.json``, by which the next run need not read
finished files; ``<dest>.progress`` tells who waits how far it is.
"""

import concurrent.futures
import contextlib
import errno
import os
import threading
import time
from typing import Any, Dict, Iterable, Iterator, List, Tuple

from ..storage import locks
from ..storage.files import PART, remove
from .choice import matched, source_stamp, wanted_of
from .errors import FetchError
from .http_client import retried
from .http_list import list_revision
from .items import Item, Listing, digest_file
from .names import path_below
from .options import Options
from .progress import Progress
from .sources import checked_source, opened
from .space import check_space, part_size
from .state import State, plain_file
from .task import Task


@contextlib.contextmanager
def locked(dest: str, wait: float) -> Iterator[int]:
    """Lock a directory: a killed playbook leaves its last module running, and two of them would mix their bytes.

    Yields the lock's descriptor; raises FetchError after ``wait`` seconds.
    """
    os.makedirs(dest, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(locks.held(os.path.realpath(dest), wait))
        except locks.Busy:
            raise FetchError("%s is being fetched by another process for %d s: end that." % (dest, wait)) from None
        yield lock


def resolve(source: Dict[str, Any], options: Options) -> str:
    """Return the commit of a source's revision, by which a plan names the release. Writes nothing."""
    with opened(checked_source(source), options._replace(check_mode=True)) as asked:
        return asked.resolved() or asked.listing("").revision


def fetch(source: Dict[str, Any], dest: str, options: Options = Options()) -> Dict[str, Any]:  # noqa: B008 (immutable)
    """Bring ``dest`` to what ``source`` has: {kind, url, revision, files, sha256, endpoint}.

    Returns changed, revision, files, bytes_total, bytes_fetched, seconds, and names, all files that the source has for
    us; with ``options.only`` the others describe what those patterns name. In check mode nothing is written and
    bytes_fetched is what would be. Raises FetchError with one sentence.
    """
    source, dest = checked_source(source), os.path.abspath(dest)
    try:
        with contextlib.ExitStack() as stack:
            inherited: Tuple = ()
            if not options.check_mode:
                inherited = (stack.enter_context(locked(dest, options.lock_wait)),)
                for name in (".progress", ".progress" + PART):  # left by a run that was killed after all was done
                    remove(dest + name)
            return fetched(source, dest, options, inherited)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FetchError(
                "%s of %s is full: make room; the next run goes on where this stopped."
                % ("the quota" if error.errno == errno.EDQUOT else "the disk", dest)
            ) from None
        where = error.filename if isinstance(error.filename, str) else dest
        raise FetchError("%s: %s." % (where, (error.strerror or str(error)).lower())) from None


def fetched(source: Dict[str, Any], dest: str, options: Options, inherited: Tuple) -> Dict[str, Any]:
    """Do what ``fetch`` says with a checked source; ``inherited`` is the lock's descriptor, () in check mode."""
    begun, state = time.monotonic(), State(dest)
    identity = {key: source[key] for key in ("kind", "files", "sha256", "revision")}
    identity["url"] = source["public"]
    known = state.revision if state.source == identity else ""
    with opened(source, options, dest, inherited) as asked:
        commit = asked.resolved()
        if commit and known == commit and all(state.unchanged(name) for name in state.files):
            names = sorted(state.files)
            chosen = [name for name in names if options.only is None or matched(name, options.only)]
            return dict(result(False, commit, state.described(chosen), 0, begun), names=names)
        found = asked.listing(commit)
        every = wanted_of(found.items, source, state)
        items = [item for item in every if options.only is None or matched(item.name, options.only)]
        names = sorted(item.name for item in every)
        missing = [item for item in items if not state.knows(item)]
        if options.check_mode:
            return dict(would_be(found.revision, items, missing, dest, begun), names=names)
        before = {name: entry["sha256"] for name, entry in state.files.items()}
        state.source, state.revision = identity, ""
        got = written(found, items, missing, state, options) if missing else 0
    left_over = set(before) - set(names)
    tidy(left_over, state)
    if all(item.name in state.files and (item in items or state.knows(item)) for item in every):
        state.revision = found.revision or list_revision(
            [item._replace(sha256=state.files[item.name]["sha256"]) for item in every]
        )
    if missing or left_over or known != state.revision:
        state.save()
    files = state.described([item.name for item in items])
    changed = got > 0 or bool(left_over) or any(before.get(n) != entry["sha256"] for n, entry in files.items())
    return dict(result(changed, found.revision or state.revision, files, got, begun), names=names)


def would_be(revision: str, items: List[Item], missing: List[Item], dest: str, begun: float) -> Dict[str, Any]:
    """Return what the module returns in check mode; files that the state does not know are read."""
    missing = [item for item in missing if not is_right(item, dest)]
    count = sum(max(0, item.size) for item in missing) - sum(part_size(item, dest) for item in missing)
    files = {item.name: {"size": item.size, "sha256": item.sha256} for item in items}
    return result(bool(missing), revision, files, count, begun)


def written(found: Listing, items: List[Item], missing: List[Item], state: State, options: Options) -> int:
    """Write the missing ones of ``items``; return the bytes that came.

    That they fit on the disk and that the source has them is known before the first byte.
    """
    check_space(missing, state.folder)
    asked = [i for i in missing if i.size and not plain_file(os.path.join(state.folder, i.name))]
    retried(lambda: found.prepare(asked), options.retries)
    return run_all(items, missing, state, options)


def tidy(names: Iterable[str], state: State) -> None:
    """Remove files of an older revision; only what we wrote ourselves is in the state."""
    for name in names:
        path = path_below(state.folder, name)
        remove(path)
        remove(path + PART)
        del state.files[name]


def result(changed: bool, revision: str, files: Dict[str, Any], fetched: int, begun: float) -> Dict[str, Any]:
    """Return what the module returns."""
    return {
        "changed": changed,
        "revision": revision,
        "files": files,
        "bytes_total": sum(max(0, entry["size"]) for entry in files.values()),
        "bytes_fetched": fetched,
        "seconds": round(time.monotonic() - begun, 3),
    }


def is_right(item: Item, dest: str) -> bool:
    """Read a file and return whether it is at its place and right."""
    facts = plain_file(os.path.join(dest, item.name))
    if not facts or facts.st_size != item.size or not (item.sha256 or item.blob):
        return False
    digest, done = digest_file(os.path.join(dest, item.name), item)
    return not digest.fault(done)


def run_all(items: List[Item], missing: List[Item], state: State, options: Options) -> int:
    """Fetch ``missing`` in parallel, the largest first; return the bytes that came. Raises the first failure."""
    total = sum(max(0, item.size) for item in items)
    progress = Progress(total, len(items), state.folder.rstrip("/") + ".progress", options.stream)
    left = {item.name for item in missing}
    progress.add(there=sum(max(0, i.size) for i in items if i.name not in left), finished=len(items) - len(missing))
    stop, failed = threading.Event(), []

    def one(item: Item) -> None:
        try:
            if stop.is_set():
                return
            digest = Task(item, state.folder, progress, stop, options).run()
            mark = source_stamp(item) if not (item.sha256 or item.blob) else item.blob
            state.remember(item._replace(blob=mark), digest)
        except BaseException as error:
            failed.append(error)
            stop.set()

    with progress.told():
        with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, options.workers)) as pool:
            try:
                list(pool.map(one, sorted(missing, key=lambda item: -item.size)))
            except BaseException:  # after an interrupt the threads must not go on for hours
                stop.set()
                raise
        state.save()
        if failed:
            raise failed[0]
    return progress.fetched
