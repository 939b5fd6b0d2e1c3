"""The guide's way without its price: git fetches the pointers, our own client the objects, each once, to its place.

Protocols: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md (pointers), docs/api/batch.md (batch),
docs/api/basic-transfers.md. Standard library and the ``git`` command; git-lfs itself is not needed. Python >= 3.6.
"""

import calendar
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from .base import Denied, FetchError, Item, Listing, Missing, Transient, origin, public, text_of, whole_of
from .http_client import Client, login_in

POINTER_LIMIT = 1024  # bytes; docs/spec.md: "Pointer files must be less than 1024 bytes"
POINTER_START = b"version https://git-lfs.github.com/spec/v"
MEDIA = "application/vnd.git-lfs+json"
BATCH_SIZE = 100  # objects a request, as git-lfs does
COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?$")
ASKPASS = '#!/bin/sh\ncase "$1" in Username*) echo "$WEIGHTS_FETCH_USER";; *) echo "$WEIGHTS_FETCH_PASSWORD";; esac\n'


class Pointer(NamedTuple):
    """What a pointer file says: the object's sha256 in hexadecimal, and its size in bytes."""

    oid: str
    size: int


def pointer_in(text: bytes, name: str) -> Optional[Pointer]:
    """Return the pointer that a file's content is, None for other content; raises FetchError when it is malformed."""
    if not text.startswith(POINTER_START):
        return None
    oid = re.search(rb"^oid sha256:([0-9a-f]{64})$", text, re.MULTILINE)
    size = re.search(rb"^size (\d{1,18})$", text, re.MULTILINE)
    if not oid or not size:
        line = "oid" if not oid else "size"
        raise FetchError("%s is a git-lfs pointer without a valid %s line: choose another revision." % (name, line))
    return Pointer(oid.group(1).decode(), int(size.group(1)))


class Git:
    """A bare repository of pointers in a temporary directory, and the remote it is filled from."""

    def __init__(
        self, url: str, folder: str, login: Optional[Tuple[str, str]], timeout: float, keep: Tuple = ()
    ) -> None:
        """Prepare the environment; a login reaches git through GIT_ASKPASS, never through its arguments.

        ``keep`` are descriptors that git holds open too: a lock then outlives us as long as an orphaned git does.
        """
        origin(url)
        self.url, self.folder, self.keep = public(url), folder, keep
        self.environment = dict(
            os.environ,
            LC_ALL="C",
            GIT_TERMINAL_PROMPT="0",
            GIT_LFS_SKIP_SMUDGE="1",
            GIT_HTTP_LOW_SPEED_LIMIT="1",
            GIT_HTTP_LOW_SPEED_TIME="%d" % max(1, timeout),
        )
        self.environment.pop("GIT_DIR", None)
        login = login or login_in(url)
        if login:
            askpass = os.path.join(folder, "askpass")
            with open(askpass, "w") as stream:
                stream.write(ASKPASS)
            os.chmod(askpass, 0o700)
            self.environment.update(GIT_ASKPASS=askpass, WEIGHTS_FETCH_USER=login[0], WEIGHTS_FETCH_PASSWORD=login[1])
        self.bare = os.path.join(folder, "pointers.git")

    def command(self, *arguments: str) -> List[str]:
        """Return the command line; an empty credential helper keeps git from storing or asking elsewhere."""
        return ["git", "-c", "credential.helper=", "-c", "core.hooksPath=/dev/null", *arguments]

    def run(self, *arguments: str) -> bytes:
        """Return git's standard output; raises the FetchError that its standard error stands for."""
        try:
            done = subprocess.run(
                self.command(*arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.environment,
                pass_fds=self.keep,
                check=False,
            )
        except FileNotFoundError:
            raise FetchError("git is not installed on this host: run the runtime phase first.") from None
        if done.returncode:
            raise self.refusal(done.stderr.decode("utf-8", "replace"))
        return done.stdout

    def refusal(self, said: str) -> FetchError:
        """Return the error that git's words stand for, without a login that a server may have echoed."""
        low = said.lower()
        if (
            "authentication failed" in low
            or "could not read username" in low
            or "could not read password" in low
            or "error: 401" in low
            or "error: 403" in low
        ):
            return Denied("%s refused git: give a token or a netrc entry that may read it." % self.url)
        if "not found" in low or "error: 404" in low:
            return Missing("%s is no git repository: check the URL." % self.url)
        lines = [line for line in said.splitlines() if line.startswith(("fatal:", "error:"))] or said.splitlines()[-1:]
        words = re.sub(r"(https?://)[^/\s@]*@", r"\1", lines[0] if lines else "git failed")
        for secret in (self.environment.get("WEIGHTS_FETCH_PASSWORD"), self.environment.get("WEIGHTS_FETCH_USER")):
            words = words.replace(secret, "***") if secret else words
        again = (
            "connect",
            "resolve host",
            "timed out",
            "early eof",
            "hung up",
            "error: 5",
            "error: 429",
            "reset",
            "too slow",
        )
        kind = Transient if any(sign in low for sign in again) else FetchError
        return kind("git could not read %s: %s." % (self.url, words.rstrip(".")))

    def resolved(self, revision: str) -> str:
        """Return the commit of a branch, tag, reference or full commit id, '' when only a fetch can tell."""
        if COMMIT.match(revision):
            return revision
        refs = {}
        for line in self.run("ls-remote", "--", self.url).decode("utf-8", "replace").splitlines():
            commit, _tab, name = line.partition("\t")
            refs[name] = commit
        for name in (revision, "refs/heads/" + revision, "refs/tags/" + revision + "^{}", "refs/tags/" + revision):
            if name in refs:
                return refs[name]
        if re.match(r"[0-9a-f]{7,}$", revision):
            return ""
        heads = sorted(name[11:] for name in refs if name.startswith("refs/heads/"))
        raise FetchError(
            "revision %s is not in %s: take one of its branches (%s), a tag or a commit."
            % (revision, self.url, ", ".join(heads[:10]) or "none")
        )

    def fetched(self, revision: str, commit: str) -> str:
        """Fetch the commit's pointers, alone where the server allows it, and return the commit's id."""
        self.run("init", "--quiet", "--bare", self.bare)
        try:
            if not commit:
                raise FetchError("an abbreviated commit can not be asked for alone.")
            self.run("-C", self.bare, "fetch", "--quiet", "--no-tags", "--depth", "1", "--", self.url, commit)
        except (Denied, Missing, Transient):
            raise
        except FetchError:
            every = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
            self.run("-C", self.bare, "fetch", "--quiet", "--no-tags", "--", self.url, *every)
        try:
            found = self.run("-C", self.bare, "rev-parse", "--verify", "--quiet", (commit or revision) + "^{commit}")
        except FetchError:
            raise FetchError("revision %s is not in %s: check it." % (commit or revision, self.url)) from None
        return found.decode().strip()

    def tree(self, commit: str) -> List[Tuple[str, str, str, int]]:
        """Return (mode, object id, name, size in bytes) of each entry below a commit."""
        entries = []
        for line in self.run("-C", self.bare, "ls-tree", "-r", "-z", "--long", commit).split(b"\0"):
            if line:
                facts, _tab, name = line.partition(b"\t")
                mode, _kind, blob, size = facts.decode().split()
                entries.append((mode, blob, name.decode("utf-8", "replace"), int(size) if size.isdigit() else -1))
        return entries

    def blob(self, identity: str) -> bytes:
        """Return the content of a small object."""
        return self.run("-C", self.bare, "cat-file", "blob", identity)

    def stream(self, identity: str) -> "GitStream":
        """Return an object as something to read from; git's objects may be large when a repository does without LFS."""
        return GitStream(self.command("-C", self.bare, "cat-file", "blob", identity), self.environment, self.keep)

    def lfs_url(self, commit: str) -> str:
        """Return the LFS server: ``lfs.url`` of .lfsconfig, else what docs/api/server-discovery.md derives."""
        try:
            configured = (
                self.run("-C", self.bare, "config", "--blob", commit + ":.lfsconfig", "lfs.url").decode().strip()
            )
        except FetchError:
            configured = ""
        if configured:
            origin(configured)
            return configured.rstrip("/")
        base = self.url.rstrip("/")
        return (base if base.endswith(".git") else base + ".git") + "/info/lfs"


class GitStream:
    """Standard output of ``git cat-file`` as a readable."""

    def __init__(self, command: List[str], environment: Dict[str, str], keep: Tuple) -> None:
        """Start git."""
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            pass_fds=keep,
        )

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return the number of bytes, 0 at the end."""
        return self.process.stdout.readinto(buffer)

    def close(self) -> None:
        """End git."""
        self.process.stdout.close()
        self.process.wait()


def expiry_of(action: Dict[str, Any], now: float) -> float:
    """Return when a download link ends, as a Unix time; for ever when the server does not say."""
    seconds, text = action.get("expires_in"), text_of(action, "expires_at")
    if isinstance(seconds, (int, float)) and seconds > 0:
        return now + seconds
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?$", text)
    if not match or text.startswith("0001"):  # Go's zero time stands for none
        return float("inf")
    try:
        moment = calendar.timegm(time.strptime(match.group(1), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return float("inf")
    zone = (match.group(2) or "Z").replace(":", "")
    if zone != "Z":
        offset = int(zone[1:3]) * 3600 + int(zone[3:5]) * 60
        moment -= offset if zone[0] == "+" else -offset
    return float(moment)


class Batch:
    """Download links by object, asked for in batches and again when they end."""

    MARGIN = 30.0  # seconds before its end in which a link is not begun any more

    def __init__(self, client: Client, lfs_url: str, now: Callable[[], float] = time.time) -> None:
        """``client`` carries the credentials of the git remote; they go to the LFS server if it is the same origin."""
        self.client, self.url, self.now = client, lfs_url, now
        self.lock = threading.Lock()
        self.links: Dict[str, Tuple[str, Dict[str, str], float]] = {}

    def ask(self, wanted: List[Tuple[str, Pointer]]) -> None:
        """Ask for the links of (name, pointer) pairs; raises FetchError naming the first file the server has not."""
        objects = [{"oid": pointer.oid, "size": pointer.size} for _name, pointer in wanted]
        question = {"operation": "download", "transfers": ["basic"], "objects": objects, "hash_algo": "sha256"}
        headers = {"Accept": MEDIA, "Content-Type": MEDIA}
        where = public(self.url)
        try:
            answer, _headers = self.client.json(self.url + "/objects/batch", headers, json.dumps(question).encode())
        except Missing:  # some servers say so of the whole when they have none of the objects
            name, pointer = wanted[0]
            raise Missing(
                "%s answers no batch, or has no %s (object %s, %d bytes) and no other of %d (HTTP 404): check its URL."
                % (where, name, pointer.oid[:12], pointer.size, len(wanted))
            ) from None
        entries = answer.get("objects") if isinstance(answer, dict) else None
        if not isinstance(entries, list) or answer.get("transfer", "basic") != "basic":
            raise FetchError("%s answered no basic LFS batch: check the URL, or use another kind of source." % where)
        by_oid = {text_of(entry, "oid"): entry for entry in entries if isinstance(entry, dict)}
        for name, pointer in wanted:
            self.keep(name, pointer, by_oid.get(pointer.oid, {}), where)

    def keep(self, name: str, pointer: Pointer, entry: Dict[str, Any], where: str) -> None:
        """Remember one object's link, or raise what the server says about it."""
        error, actions = entry.get("error"), entry.get("actions")
        action = actions.get("download") if isinstance(actions, dict) else None
        if isinstance(error, dict) or not isinstance(action, dict) or not text_of(action, "href"):
            said = error if isinstance(error, dict) else {}
            raise Missing(
                "%s (object %s, %d bytes) is not on %s (%s %s): choose another revision or source."
                % (name, pointer.oid[:12], pointer.size, where, said.get("code", 404), text_of(said, "message")[:200])
            )
        size = whole_of(entry, "size")
        if size not in (-1, pointer.size):
            raise FetchError(
                "%s has %d bytes on %s, its pointer says %d: the source is damaged." % (name, size, where, pointer.size)
            )
        header = action.get("header")
        headers = {str(k): str(v) for k, v in header.items()} if isinstance(header, dict) else {}
        if re.search(r"[\r\n]", "".join(headers) + "".join(headers.values())):
            raise FetchError("%s offers %s with a broken header: the server is not trustworthy." % (where, name))
        origin(text_of(action, "href"))
        self.links[pointer.oid] = (text_of(action, "href"), headers, expiry_of(action, self.now()))

    def ask_all(self, wanted: List[Tuple[str, Pointer]]) -> None:
        """Ask for every link, a hundred at a time: what the server has not is known before the first byte."""
        for start in range(0, len(wanted), BATCH_SIZE):
            self.ask(wanted[start : start + BATCH_SIZE])

    def link(self, name: str, pointer: Pointer, fresh: bool = False) -> Tuple[str, Dict[str, str]]:
        """Return (URL, headers), asked for again when there is none, it is about to end, or ``fresh``."""
        with self.lock:
            known = self.links.get(pointer.oid)
            if fresh or known is None or known[2] - self.MARGIN < self.now():
                self.ask([(name, pointer)])
            return self.links[pointer.oid][:2]

    def open(self, name: str, pointer: Pointer, offset: int) -> Tuple[Any, int]:
        """Return (response, offset it starts at) of an object; a refused link is asked for again once."""
        url, headers = self.link(name, pointer)
        try:
            return self.client.range(url, headers, offset, pointer.size)
        except (Denied, Missing):
            url, headers = self.link(name, pointer, fresh=True)
            return self.client.range(url, headers, offset, pointer.size)


def listing(git: Git, client: Client, revision: str, commit: str) -> Listing:
    """Return what a git-lfs repository has at a revision; ``commit`` is its id if already resolved."""
    commit = git.fetched(revision, commit)
    items, pointers = [], {}
    batch = Batch(client, git.lfs_url(commit))
    for mode, blob, name, size in git.tree(commit):
        if mode not in ("100644", "100755", "100664"):
            kind = {"120000": "symlink", "160000": "submodule"}.get(mode, "entry of mode " + mode)
            raise FetchError("%s is a %s in %s: only plain files are fetched." % (name, kind, git.url))
        pointer = pointer_in(git.blob(blob), name) if 0 < size < POINTER_LIMIT else None
        if pointer:
            pointers[name] = pointer
            items.append(Item(name, pointer.size, pointer.oid, "", lambda at, n=name, p=pointer: batch.open(n, p, at)))
        else:
            items.append(Item(name, size, "", blob, lambda at, b=blob: (git.stream(b), 0)))
    return Listing(
        commit, items, lambda rest: batch.ask_all([(i.name, pointers[i.name]) for i in rest if i.name in pointers])
    )


def workshop(dest: str, writable: bool) -> str:
    """Return a new temporary directory for the pointers, beside the destination if we may write there.

    What a killed run left there is removed: the caller holds the destination's lock.
    """
    if not writable:
        return tempfile.mkdtemp(prefix="weights_fetch-")
    parent, base = os.path.split(dest.rstrip("/"))
    for name in os.listdir(parent):
        if name.startswith(base + ".git-"):
            shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
    return tempfile.mkdtemp(prefix=base + ".git-", dir=parent)
