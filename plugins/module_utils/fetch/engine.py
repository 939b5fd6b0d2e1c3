"""Fetch weights: each file once, straight to its place, resumed at any byte, checked, and never twice on the disk.

Runs under any Python >= 3.6 with the standard library; ``fetch`` is the entry. What it does to the destination:
``<name>.part`` grows, is hashed as it grows, synced and renamed; ``.weights_fetch.json`` keeps size, time and digest of
finished files so that the next run need not read them; ``<dest>.progress`` tells who waits how far it is.
"""

import collections
import concurrent.futures
import contextlib
import errno
import fcntl
import fnmatch
import json
import os
import shutil
import stat
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, TextIO, Tuple

from . import git_lfs as fetch_lfs
from . import sources as fetch_sources
from .base import (
    BLOCK,
    STATE,
    Digest,
    FetchError,
    Item,
    Listing,
    Transient,
    checked_name,
    digest_file,
    human,
    place,
    public_or_text,
)
from .http_client import Client, backoff, basic, login_in, netrc_login, reason_of, retried

KINDS = ("git_lfs", "hub", "http", "path")
PART = ".part"
STATE_LIMIT = 32 << 20  # bytes
PROGRESS_EVERY = 1.0  # seconds
PROGRESS_WINDOW = 10  # samples that the rate is taken over
WORTH_A_RETRY = 1 << 20  # bytes; an attempt that gained as much does not count as failed


class Options(NamedTuple):
    """How to fetch; ``timeout`` and ``lock_wait`` in seconds, ``token`` a secret for the source's own host."""

    workers: int = 8  # as many as git-lfs: links limit each connection
    retries: int = 5
    timeout: float = 60.0
    lock_wait: float = 3600.0
    token: str = ""
    check_mode: bool = False
    stream: Optional[TextIO] = None
    only: Optional[Tuple[str, ...]] = None  # patterns of the files to fetch now; the others stay as they are


class Progress:
    """Counts bytes from all threads, and tells each second."""

    def __init__(self, total: int, files: int, path: str, stream: Optional[TextIO]) -> None:
        """``path`` is the file to write, '' for none; ``total`` in bytes."""
        self.total, self.files, self.path, self.stream = total, files, path, stream
        self.done, self.fetched, self.finished = 0, 0, 0
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.samples = collections.deque([(time.monotonic(), 0)], maxlen=PROGRESS_WINDOW)

    def add(self, there: int = 0, fetched: int = 0, finished: int = 0) -> None:
        """Count bytes that are there (also negative: thrown away), bytes off the source, and finished files."""
        with self.lock:
            self.done += there + fetched
            self.fetched += fetched
            self.finished += finished

    def facts(self) -> Dict[str, Any]:
        """Return what is known now; the rate is that of the last ten seconds, the seconds remaining may be None."""
        with self.lock:
            now, (then, before) = time.monotonic(), self.samples[0]
            self.samples.append((now, self.fetched))
            rate = (self.fetched - before) / (now - then) if now > then else 0.0
            left = max(0, self.total - self.done)
            return {
                "bytes_done": self.done,
                "bytes_total": self.total,
                "bytes_per_second": int(rate),
                "seconds_remaining": int(left / rate) if rate > 0 else None,
                "files_done": self.finished,
                "files_total": self.files,
                "at": int(time.time()),
            }

    def tell(self) -> None:
        """Write the file in one step, and the line."""
        facts = self.facts()
        if self.path:
            with contextlib.suppress(OSError):  # a full disk must not end the fetch through its progress
                write_json(self.path, facts)
        if self.stream:
            left = facts["seconds_remaining"]
            print(
                "%s of %s, %s/s, %s, %d of %d files"
                % (
                    human(facts["bytes_done"]),
                    human(self.total),
                    human(facts["bytes_per_second"]),
                    "%d s left" % left if left is not None else "waiting",
                    self.finished,
                    self.files,
                ),
                file=self.stream,
                flush=True,
            )

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Tell each second while the block runs; the file stays when it fails, and goes when it succeeds."""
        self.tell()
        teller = threading.Thread(target=self._each_second, daemon=True)
        teller.start()
        try:
            yield
        except BaseException:
            self._end(teller)
            raise
        self._end(teller)
        if self.path:
            remove(self.path)

    def _end(self, teller: threading.Thread) -> None:
        """Stop telling, and tell for the last time."""
        self.ended.set()
        teller.join()
        self.tell()

    def _each_second(self) -> None:
        """Tell until the end."""
        while not self.ended.wait(PROGRESS_EVERY):
            self.tell()


def write_json(path: str, value: Any) -> None:
    """Replace a file in one step."""
    beside = path + ".new"
    remove(beside)
    with open(beside, "w") as stream:
        json.dump(value, stream, indent=1, sort_keys=True)
    os.rename(beside, path)


def remove(path: str) -> None:
    """Remove a file or symlink that may be absent."""
    try:
        os.remove(path)
    except FileNotFoundError:
        pass


def sync_folder(path: str) -> None:
    """Write a directory's names through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class State:
    """What earlier runs left: ``{revision, source, files: {name: {size, mtime_ns, sha256, blob}}}``, in one file."""

    def __init__(self, folder: str) -> None:
        """Read it; an absent, broken or foreign one is an empty one, and costs hashing what is there."""
        self.folder, self.path = folder, os.path.join(folder, STATE)
        self.lock, self.saved = threading.Lock(), 0.0
        self.files: Dict[str, Dict[str, Any]] = {}
        self.revision, self.source = "", {}
        try:
            with open(self.path) as stream:
                known = json.loads(stream.read(STATE_LIMIT))
            files = {checked_name(n): e for n, e in known["files"].items() if isinstance(e["sha256"], str)}
            self.files, self.revision, self.source = files, str(known["revision"]), known["source"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, FetchError, RecursionError):
            pass

    def unchanged(self, name: str) -> bool:
        """Return whether a file has the size and time that it had when its digest was taken."""
        entry, facts = self.files.get(name), plain_file(os.path.join(self.folder, name))
        return bool(
            entry and facts and (facts.st_size, facts.st_mtime_ns) == (entry.get("size"), entry.get("mtime_ns"))
        )

    def knows(self, item: Item) -> bool:
        """Return whether a file is there, unchanged, and the one wanted."""
        entry = self.files.get(item.name, {})
        if item.sha256:
            return entry.get("sha256") == item.sha256 and self.unchanged(item.name)
        return bool(item.blob) and entry.get("blob") == item.blob and self.unchanged(item.name)

    def keep(self, item: Item, sha256: str) -> None:
        """Remember a finished file; written at most once a second, since there may be many small ones."""
        facts = os.stat(os.path.join(self.folder, item.name))
        entry = {"size": facts.st_size, "mtime_ns": facts.st_mtime_ns, "sha256": sha256, "blob": item.blob}
        with self.lock:
            self.files[item.name] = entry
            if time.monotonic() - self.saved > 1:
                self.save()

    def save(self) -> None:
        """Write it in one step."""
        write_json(self.path, {"revision": self.revision, "source": self.source, "files": self.files})
        self.saved = time.monotonic()

    def described(self, names: List[str]) -> Dict[str, Dict[str, Any]]:
        """Return {name: {size, sha256}} as a manifest has it."""
        return {
            name: {"size": self.files[name]["size"], "sha256": self.files[name]["sha256"]} for name in sorted(names)
        }


def plain_file(path: str) -> Optional[os.stat_result]:
    """Return the facts of a plain file, None for anything else or nothing."""
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return facts if stat.S_ISREG(facts.st_mode) else None


class Task:
    """One file on its way to its place."""

    def __init__(self, item: Item, folder: str, progress: Progress, stop: threading.Event, options: Options) -> None:
        """``stop`` is set when another file has failed for good."""
        self.item, self.folder, self.progress, self.stop, self.options = item, folder, progress, stop, options
        self.path = place(folder, item.name)
        self.part = self.path + PART
        self.digest, self.done = Digest(item), 0

    def run(self) -> str:
        """Leave the file at its place and return its sha256; raises FetchError, a cut ``.part`` stays to go on with."""
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        place(self.folder, self.item.name)  # again: what was made meanwhile may be a link
        there = self.kept()
        if there:
            return there
        if self.item.link and self.linked():
            return self.finish()
        for last in (False, True):
            self.resume()
            self.download()
            fault = self.digest.fault(self.done)
            if not fault:
                return self.finish()
            self.forget()
            if last:
                raise FetchError("%s came twice with %s: the source is damaged." % (self.item.name, fault))
        raise AssertionError("unreachable")

    def kept(self) -> str:
        """Return the sha256 of a file that is at its place already and is right; make room when it is not."""
        facts = plain_file(self.path)
        if facts and self.item.size in (-1, facts.st_size) and (self.item.sha256 or self.item.blob):
            digest, done = digest_file(self.path, self.item)
            if not digest.fault(done):
                self.progress.add(there=done, finished=1)
                remove(self.part)
                return digest.sha256.hexdigest()
        if os.path.isdir(self.path) and not os.path.islink(self.path):
            raise FetchError("%s is a directory where a file shall be: remove it." % self.path)
        remove(self.path)
        return ""

    def linked(self) -> bool:
        """Hard-link a file of the same file system and hash it; return False where that can not be done."""
        remove(self.part)
        try:
            os.link(self.item.link, self.part)
        except OSError:
            return False
        self.digest, self.done = digest_file(self.part, self.item)
        self.progress.add(there=self.done)
        fault = self.digest.fault(self.done)
        if fault:
            remove(self.part)
            raise FetchError("%s has %s: correct the source." % (self.item.link, fault))
        return True

    def resume(self) -> None:
        """Hash what a killed run has left; more than the whole is nothing."""
        facts = plain_file(self.part)
        if facts is None or facts.st_nlink > 1 or facts.st_size > self.item.size >= 0:
            remove(self.part)
            return
        self.digest, self.done = digest_file(self.part, self.item)
        self.progress.add(there=self.done)

    def forget(self) -> None:
        """Throw away what is there: it is not the beginning of the file."""
        self.progress.add(there=-self.done)
        self.digest, self.done = Digest(self.item), 0
        remove(self.part)

    def download(self) -> None:
        """Append until the size is reached, again after each cut; raises FetchError when that does not go on."""
        if self.item.size == 0:  # git-lfs servers have no empty objects
            open(self.part, "wb").close()
            return
        failures = 0
        while self.item.size < 0 or self.done < self.item.size:
            before = self.done
            try:
                self.attempt()
                return
            except Transient as error:
                failures = 1 if self.done - before >= WORTH_A_RETRY else failures + 1
                if failures > self.options.retries:
                    raise FetchError(
                        "%s stopped at byte %d of %d after %d attempts (%s): run again, it goes on there."
                        % (self.item.name, self.done, self.item.size, failures, str(error).rstrip("."))
                    ) from None
                if self.stop.wait(backoff(failures - 1, error.wait)):
                    raise FetchError("%s was stopped." % self.item.name) from None

    def attempt(self) -> None:
        """Read one answer to its end, or to the file's."""
        stream, start = self.item.open(self.done)
        with contextlib.closing(stream):
            if start != self.done:
                self.forget()
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            with open(os.open(self.part, flags, 0o644), "wb", buffering=0) as target:
                self.copy(stream, target)

    def copy(self, stream: Any, target: Any) -> None:
        """Append what a stream gives; raises Transient when it ends early."""
        buffer = memoryview(bytearray(BLOCK))
        while True:
            want = BLOCK if self.item.size < 0 else min(BLOCK, self.item.size - self.done)
            try:
                count = stream.readinto(buffer[:want]) if want else 0
            except Exception as error:  # http.client raises much: OSError, HTTPException, ValueError
                raise Transient("%s broke off: %s" % (self.item.name, reason_of(error))) from None
            if not count:
                break
            block = buffer[:count]
            while block:
                block = block[target.write(block) :]
            self.digest.update(buffer[:count])
            self.done += count
            self.progress.add(fetched=count)
            if self.stop.is_set():
                raise FetchError("%s was stopped." % self.item.name)
        if self.done < self.item.size:
            raise Transient("the connection ended at byte %d of %d" % (self.done, self.item.size))

    def finish(self) -> str:
        """Write the file through to the disk and name it."""
        descriptor = os.open(self.part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(self.part, self.path)
        self.progress.add(finished=1)
        return self.digest.sha256.hexdigest()


def selected(items: List[Item], patterns: List[str], dest: str) -> List[Item]:
    """Return the items that shell patterns name (all when there are none); '!pattern' leaves out what it names.

    Raises FetchError for names that would leave the destination, come twice, or stand in each other's way.
    """
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    chosen: Dict[str, Item] = {}
    for item in items:
        checked_name(item.name)
        place(dest, item.name)
        if item.name in chosen:
            raise FetchError("%s is twice in the source: correct its list." % item.name)
        if (not wanted or matched(item.name, wanted)) and not matched(item.name, unwanted):
            chosen[item.name] = item
    for pattern in wanted:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in chosen):
            raise FetchError("no file of the source is named %s: correct the source's files." % pattern)
    for name in chosen:
        if name.endswith(PART) and name[: -len(PART)] in chosen:
            raise FetchError("%s would be overwritten by its neighbour's download: leave it out." % name)
    return list(chosen.values())


def matched(name: str, patterns: Sequence[str]) -> bool:
    """Return whether any shell pattern, or its very name, names a file."""
    return name in patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def pinned(items: List[Item], sums: Dict[str, str]) -> List[Item]:
    """Return the items with the sha256 that the operator wrote down; raises FetchError where the source has another."""
    absent = sorted(set(sums) - {item.name for item in items})
    if absent:
        raise FetchError("%s has a sha256 but is not in the source: correct the list." % absent[0])
    for item in items:
        wanted = sums.get(item.name, "")
        if wanted and not fetch_sources.SHA256.match(wanted):
            raise FetchError("%s has sha256 %r, wanted 64 hexadecimal digits." % (item.name, wanted))
        if wanted and item.sha256 and item.sha256 != wanted:
            raise FetchError(
                "%s has sha256 %s in the source, wanted %s: the source was changed." % (item.name, item.sha256, wanted)
            )
    return [item._replace(sha256=sums.get(item.name, item.sha256)) for item in items]


def checked_source(source: Dict[str, Any]) -> Dict[str, Any]:
    """Return a source with its defaults; raises FetchError for what is missing or unknown."""
    known = {"kind": "git_lfs", "url": "", "revision": "", "files": [], "sha256": {}, "endpoint": ""}
    known.update({key: value for key, value in source.items() if value is not None})
    if known["kind"] not in KINDS:
        raise FetchError("source kind is %r, wanted one of %s." % (known["kind"], ", ".join(KINDS)))
    if not known["url"] and known["kind"] != "http":
        raise FetchError("a source of kind %s wants a url." % known["kind"])
    if not known["revision"] and known["kind"] in ("git_lfs", "hub"):
        raise FetchError("the source %s wants a revision: a commit, a tag or a branch." % public_or_text(known["url"]))
    listed = known["kind"] == "http"
    if listed and not known["files"]:
        raise FetchError("a source of kind http wants files: a list of {name, sha256}.")
    for entry in known["files"]:
        if isinstance(entry, dict) != listed:
            raise FetchError(
                "files has %r, wanted %s."
                % (entry, "{name, sha256} for kind http" if listed else "a file name pattern")
            )
    return known


class Source:
    """A source that can be asked for its revision, then for its files; a context that cleans up after itself."""

    def __init__(self, source: Dict[str, Any], options: Options, dest: str, keep: Tuple = ()) -> None:
        """``keep`` are descriptors which children hold open too."""
        self.source, self.options, self.dest, self.keep = source, options, dest, keep
        self.kind, self.url, self.revision = source["kind"], source["url"], source["revision"]
        self.folder, self.commit = "", ""

    def __enter__(self) -> "Source":
        """Make the clients; a repository of pointers gets a temporary directory."""
        token = self.options.token
        if self.kind == "git_lfs":
            # Servers take a token as the password of any user; Basic is what git-lfs itself sends.
            login = ("token", token) if token else login_in(self.url)
            self.client = Client(self.url, basic(*login) if login else "", self.options.timeout)
            self.folder = fetch_lfs.workshop(self.dest, not self.options.check_mode and bool(self.keep))
            try:
                self.git = fetch_lfs.Git(
                    self.url, self.folder, login or netrc_login(self.client.home[1]), self.options.timeout, self.keep
                )
            except BaseException:
                self.__exit__()
                raise
        elif self.kind == "hub":
            endpoint = self.source["endpoint"] or os.environ.get("HF_ENDPOINT", "")
            self.endpoint, self.repository = fetch_sources.hub_place(self.url, endpoint)
            token = token or os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN") or ""
            self.client = Client(self.endpoint, "Bearer " + token if token else "", self.options.timeout)
        elif self.kind == "http":
            home = self.url or str(self.source["files"][0].get("url", ""))
            self.client = Client(home, "Bearer " + token if token else "", self.options.timeout)
        return self

    def __exit__(self, *_error: Any) -> None:
        """Remove the pointers."""
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def retried(self, action: Callable[[], Any]) -> Any:
        """Return what ``action`` returns, tried again as often as the options say."""
        return retried(action, self.options.retries, threading.Event())

    def resolved(self) -> str:
        """Return the commit, '' for a source that has none or where only its files can tell."""
        if self.kind == "git_lfs":
            self.commit = self.retried(lambda: self.git.resolved(self.revision))
        elif self.kind == "hub" and fetch_lfs.COMMIT.match(self.revision):
            self.commit = self.revision
        elif self.kind == "hub":
            self.commit = self.retried(
                lambda: fetch_sources.hub_commit(self.client, self.endpoint, self.repository, self.revision)
            )
        return self.commit

    def listing(self) -> Listing:
        """Return the files at the commit that ``resolved`` found."""
        if self.kind == "git_lfs":
            return self.retried(lambda: fetch_lfs.listing(self.git, self.client, self.revision, self.commit))
        if self.kind == "hub":
            return self.retried(
                lambda: fetch_sources.hub_listing(self.client, self.endpoint, self.repository, self.commit)
            )
        if self.kind == "http":
            return self.retried(lambda: fetch_sources.http_listing(self.client, self.url, self.source["files"]))
        return fetch_sources.path_listing(self.url)


@contextlib.contextmanager
def locked(dest: str, wait: float) -> Iterator[int]:
    """Hold a directory for ourselves: a killed playbook leaves its last module running, two would mix their bytes."""
    os.makedirs(dest, exist_ok=True)
    descriptor, end = os.open(dest, os.O_RDONLY), time.monotonic() + wait
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise FetchError(
                        "%s is being fetched by another process for %d s: end that." % (dest, wait)
                    ) from None
                time.sleep(0.2)
            except OSError:  # a network file system without locks
                break
        yield descriptor
    finally:
        os.close(descriptor)


def resolve(source: Dict[str, Any], options: Options) -> str:
    """Return the commit that a source's revision stands for, for a plan that names things by it; writes nothing."""
    with Source(checked_source(source), options._replace(check_mode=True), "") as opened:
        return opened.resolved() or opened.listing().revision


def fetch(source: Dict[str, Any], dest: str, options: Options = Options()) -> Dict[str, Any]:  # noqa: B008 (immutable)
    """Bring ``dest`` to what ``source`` has: {kind, url, revision, files, sha256, endpoint}.

    Returns changed, revision, files, bytes_total, bytes_fetched, seconds, and names, all files that the source has for
    us; with ``options.only`` the others describe what those patterns name. In check mode nothing is written and
    bytes_fetched is what would be. Raises FetchError with one sentence.
    """
    source, dest = checked_source(source), os.path.abspath(dest)
    try:
        if options.check_mode:
            return _fetch(source, dest, options, ())
        with locked(dest, options.lock_wait) as lock:
            for name in (".progress", ".progress.new"):  # of a run that was killed when all was done
                remove(dest + name)
            return _fetch(source, dest, options, (lock,))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FetchError(
                "the disk of %s is full: make room; the next run goes on where this stopped." % dest
            ) from None
        where = error.filename if isinstance(error.filename, str) else dest
        raise FetchError("%s: %s." % (where, (error.strerror or str(error)).lower())) from None


def _fetch(source: Dict[str, Any], dest: str, options: Options, keep: Tuple) -> Dict[str, Any]:
    """Do what ``fetch`` says, the destination being locked."""
    begun, state = time.monotonic(), State(dest)
    identity = {key: source[key] for key in ("kind", "files", "sha256", "revision")}
    identity["url"] = public_or_text(source["url"])
    known = state.revision if state.source == identity else ""
    with Source(source, options, dest, keep) as opened:
        commit = opened.resolved()
        if commit and known == commit and all(state.unchanged(name) for name in state.files):
            names = sorted(state.files)
            chosen = [name for name in names if options.only is None or matched(name, options.only)]
            return dict(result(False, commit, state.described(chosen), 0, begun), names=names)
        found = opened.listing()
        patterns = [] if source["kind"] == "http" else source["files"]
        every = pinned(selected(found.items, patterns, dest), source["sha256"])
        if source["kind"] == "path":
            every = [as_known(item, state) for item in every]
        items = [item for item in every if options.only is None or matched(item.name, options.only)]
        names = sorted(item.name for item in every)
        rest = [item for item in items if not state.knows(item)]
        if options.check_mode:
            rest = [item for item in rest if not right(item, dest)]
            files = {item.name: {"size": item.size, "sha256": item.sha256} for item in items}
            there = sum(part_size(item, dest) for item in rest)
            missing = sum(max(0, item.size) for item in rest) - there
            return dict(result(bool(rest), found.revision, files, missing, begun), names=names)
        check_space(rest, dest)
        opened.retried(
            lambda: found.prepare([i for i in rest if i.size and not plain_file(os.path.join(dest, i.name))])
        )
        state.source, former = identity, set(state.files)
        state.revision = ""
        before = {name: state.files[name]["sha256"] for name in former}
        got = run_all(items, rest, dest, state, options) if rest else 0
    for name in former - set(names):
        # Of an older revision; only what we wrote ourselves is removed.
        remove(place(dest, name))
        remove(place(dest, name) + PART)
        del state.files[name]
    if all(item.name in state.files and (item in items or state.knows(item)) for item in every):
        state.revision = found.revision or fetch_sources.list_revision(
            [item._replace(sha256=state.files[item.name]["sha256"]) for item in every]
        )
    after = {item.name: state.files[item.name]["sha256"] for item in items}
    if rest or former - set(names) or known != state.revision:
        state.save()
        sync_folder(dest)
    changed = got > 0 or any(before.get(name) != sha256 for name, sha256 in after.items()) or former - set(names)
    revision = found.revision or state.revision
    return dict(result(bool(changed), revision, state.described(list(after)), got, begun), names=names)


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


def as_known(item: Item, state: State) -> Item:
    """Return a directory's file with the sha256 that it had when we took it, if neither side was touched since."""
    here, entry = plain_file(os.path.join(state.folder, item.name)), state.files.get(item.name, {})
    theirs = entry.get("blob", "")
    stamp = source_stamp(item)
    if here and theirs == stamp and state.unchanged(item.name):
        return item._replace(sha256=item.sha256 or entry["sha256"])
    return item


def source_stamp(item: Item) -> str:
    """Return size and time of a local source file, the mark by which a later run sees that it was not touched."""
    with contextlib.closing(item.open(0)[0]) as stream:
        facts = os.fstat(stream.fileno())
    return "%d-%d" % (facts.st_size, facts.st_mtime_ns)


def part_size(item: Item, dest: str) -> int:
    """Return the bytes of a file that a killed run has left, 0 when they are of no use."""
    facts = plain_file(os.path.join(dest, item.name) + PART)
    return facts.st_size if facts and facts.st_nlink == 1 and facts.st_size <= item.size else 0


def right(item: Item, dest: str) -> bool:
    """Return whether a file is at its place and right, having read it."""
    facts = plain_file(os.path.join(dest, item.name))
    if not facts or facts.st_size != item.size or not (item.sha256 or item.blob):
        return False
    digest, done = digest_file(os.path.join(dest, item.name), item)
    return not digest.fault(done)


def check_space(rest: List[Item], dest: str) -> None:
    """Raise FetchError when what is still to come does not fit: before the first byte, counting what is there."""
    needed = there = 0
    device = os.stat(dest).st_dev
    for item in rest:
        if item.link and os.stat(item.link).st_dev == device:
            continue
        finished = plain_file(os.path.join(dest, item.name))
        # A finished file of another size is removed before its successor comes: its room counts.
        have = finished.st_size if finished and finished.st_nlink == 1 else part_size(item, dest)
        there += have
        needed += max(0, item.size) - have
    fault = fetch_sources.space_fault(max(0, needed), there, shutil.disk_usage(dest).free, dest)
    if fault:
        raise FetchError(fault)


def run_all(items: List[Item], rest: List[Item], dest: str, state: State, options: Options) -> int:
    """Fetch ``rest`` in parallel, the largest first; return the bytes that came. Raises the first failure."""
    total = sum(max(0, item.size) for item in items)
    progress = Progress(total, len(items), dest.rstrip("/") + ".progress", options.stream)
    left = {item.name for item in rest}
    progress.add(there=sum(max(0, i.size) for i in items if i.name not in left), finished=len(items) - len(rest))
    stop, failed = threading.Event(), []

    def one(item: Item) -> None:
        try:
            if stop.is_set():
                return
            digest = Task(item, dest, progress, stop, options).run()
            mark = source_stamp(item) if not (item.sha256 or item.blob) else item.blob
            state.keep(item._replace(blob=mark), digest)
        except BaseException as error:
            failed.append(error)
            stop.set()

    with progress.told():
        with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, options.workers)) as pool:
            try:
                list(pool.map(one, sorted(rest, key=lambda item: -item.size)))
            except BaseException:  # an interrupt: the threads must not go on for hours
                stop.set()
                raise
        state.save()
        if failed:
            raise failed[0]
    return progress.fetched
