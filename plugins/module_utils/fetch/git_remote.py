"""The git side of a git-lfs source: a bare repository of pointers in a temporary directory. Python >= 3.6."""

import os
import re
import subprocess
import urllib.parse
from typing import Any, Dict, List, Optional, Tuple

from .errors import Denied, FetchError, Missing, Transient
from .http_client import login_in, netrc_fault
from .items import COMMIT
from .urls import origin, public

# A credential helper that git hands to sh: no file of it must be executed, so it also works where nothing may be.
PRINTED = 'printf "username=%s\\npassword=%s\\n" "$WEIGHTS_FETCH_USER" "$WEIGHTS_FETCH_PASSWORD"'
HELPER = '!f() { test "$1" != get || ' + PRINTED + "; }; f"


class Git:
    """A bare repository of pointers in a temporary directory, and the remote it is filled from."""

    def __init__(
        self, url: str, folder: str, login: Optional[Tuple[str, str]], timeout: float, inherited: Tuple = ()
    ) -> None:
        """Prepare the environment; a login reaches git through its environment, never through its arguments.

        ``inherited`` are descriptors that git holds open too: a lock then outlives us as long as an orphaned git does.
        """
        origin(url)
        self.url, self.folder, self.inherited = public(url), folder, inherited
        self.environment = dict(
            os.environ,
            LC_ALL="C",
            GIT_TERMINAL_PROMPT="0",
            GIT_ASKPASS="",
            GIT_LFS_SKIP_SMUDGE="1",
            GIT_HTTP_LOW_SPEED_LIMIT="1",
            GIT_HTTP_LOW_SPEED_TIME="%d" % max(1, timeout),
        )
        self.environment.pop("GIT_DIR", None)
        login = login or login_in(url)
        if login:
            self.environment.update(WEIGHTS_FETCH_USER=login[0], WEIGHTS_FETCH_PASSWORD=login[1])
        self.bare = os.path.join(folder, "pointers.git")

    def command(self, *arguments: str) -> List[str]:
        """Return the command line.

        The empty credential helper keeps git from storing or asking elsewhere; ours answers for the source's host only.
        """
        options = ["-c", "credential.helper=", "-c", "core.hooksPath=/dev/null"]
        if "WEIGHTS_FETCH_USER" in self.environment:
            scheme, host = urllib.parse.urlsplit(self.url)[:2]
            options += ["-c", "credential.%s://%s.helper=%s" % (scheme, host, HELPER)]
        return ["git", *options, *arguments]

    def run(self, *arguments: str) -> bytes:
        """Return git's standard output; raises the FetchError for its standard error."""
        try:
            done = subprocess.run(
                self.command(*arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.environment,
                pass_fds=self.inherited,
                check=False,
            )
        except FileNotFoundError:
            raise FetchError("git is not installed on this host: run the runtime phase first.") from None
        if done.returncode:
            raise self.refusal(done.stderr.decode("utf-8", "replace"))
        return done.stdout

    def refusal(self, said: str) -> FetchError:
        """Return the error that git's words stand for, without a login that a server may have echoed."""
        lines = [line for line in said.splitlines() if line.startswith(("fatal:", "error:"))] or said.splitlines()[-1:]
        words = re.sub(r"(https?://)[^/\s@]*@", r"\1", lines[0] if lines else "git failed")
        for secret in (self.environment.get("WEIGHTS_FETCH_PASSWORD"), self.environment.get("WEIGHTS_FETCH_USER")):
            words = words.replace(secret, "***") if secret else words
        words = words.rstrip(".")
        low = said.lower()
        if (
            "authentication failed" in low
            or "could not read username" in low
            or "could not read password" in low
            or "error: 401" in low
            or "error: 403" in low
        ):
            if "WEIGHTS_FETCH_USER" in self.environment and "could not read" not in low:
                return Denied(
                    "%s refused git with the login that was given (git says: %s): give one that may read it."
                    % (self.url, words)
                )
            if "WEIGHTS_FETCH_USER" in self.environment:
                return Denied(
                    "git was asked for another login than the one that was given for %s (git says: %s): give one for"
                    " what git names, or name the source by its final address." % (self.url, words)
                )
            return Denied(
                "%s refused git, which has no login for it (git says: %s): give a token or a netrc entry that may."
                % (self.url, words + netrc_fault())
            )
        if "not found" in low or "error: 404" in low:
            return Missing("%s is no git repository (git says: %s): check the URL." % (self.url, words))
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
        return kind("git could not read %s: %s." % (self.url, words))

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
        return GitStream(self.command("-C", self.bare, "cat-file", "blob", identity), self.environment, self.inherited)

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

    def __init__(self, command: List[str], environment: Dict[str, str], inherited: Tuple) -> None:
        """Start git."""
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            pass_fds=inherited,
        )

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return the number of bytes, 0 at the end."""
        return self.process.stdout.readinto(buffer)

    def close(self) -> None:
        """End git."""
        self.process.stdout.close()
        self.process.wait()
