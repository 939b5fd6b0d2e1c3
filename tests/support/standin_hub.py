"""Stands in for a model hub whose network and disks fail on demand: git over dumb HTTP, git-lfs, a hub's API, files.

Each fault is used up by one request whose path contains its key, so that a test says what fails and how often.
"""

import contextlib
import hashlib
import json
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "demo/model"


def content_of(seed: int, size: int) -> bytes:
    """Return reproducible bytes that do not compress."""
    return random.Random(seed).randbytes(size)  # noqa: S311 (no secret)


def pointer_of(data: bytes) -> bytes:
    """Return the git-lfs pointer of an object."""
    return pointer_to(hashlib.sha256(data).hexdigest(), len(data))


def pointer_to(oid: str, size: int) -> bytes:
    """Return the git-lfs pointer to the object that has this sha256 and size in bytes."""
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (oid.encode(), size)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, without the machine's own configuration; return its output."""
    identity = ["-c", "user.name=hub", "-c", "user.email=hub@localhost", "-c", "init.defaultBranch=main"]
    # Where git-lfs is installed it would turn our pointers into pointers to pointers.
    plain = ["-c", "filter.lfs.process=", "-c", "filter.lfs.clean=", "-c", "filter.lfs.required=false"]
    command = ["git", "-C", str(folder), *identity, *plain, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(work: Path, files: dict[str, bytes]) -> str:
    """Commit files and return the commit's id."""
    if not (work / ".git").exists():
        work.mkdir(parents=True, exist_ok=True)
        git(work, "init", "--quiet")
    for name, data in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(data)
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "weights")
    return git(work, "rev-parse", "HEAD")


class StandInHub(ThreadingHTTPServer):
    """Serves ``files`` (by name), LFS objects (by sha256) and the bare repositories of a folder, on a random port."""

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.url = folder, f"http://127.0.0.1:{self.server_address[1]}"
        self.files: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.faults: list[tuple[str, dict]] = []
        self.seen: list[tuple[str, str, dict]] = []
        self.rate = 0  # bytes per second and answer; 0 for as fast as it goes
        self.link_seconds = 3600
        self.wanted_login = ""
        self.lock = threading.Lock()

    def publish(self, name: str, work: Path) -> str:
        """Serve a work tree's history as a bare repository; return its URL."""
        bare = self.folder / name
        subprocess.run(["rm", "-rf", str(bare)], check=True)
        git(self.folder, "clone", "--quiet", "--bare", str(work), str(bare))
        git(bare, "update-server-info")
        return f"{self.url}/{name}"

    def repository(self, name: str, large: dict[str, bytes], small: dict[str, bytes]) -> tuple[str, str]:
        """Commit small files and pointers to large ones, serve both; return (URL, commit)."""
        work = self.folder / f"work-{name}"
        self.objects.update({hashlib.sha256(data).hexdigest(): data for data in large.values()})
        identity = commit(work, {**small, **{key: pointer_of(data) for key, data in large.items()}})
        return self.publish(name, work), identity

    def fault(self, path: str) -> dict:
        """Return and use up the first fault for a path."""
        with self.lock:
            for index, (key, fault) in enumerate(self.faults):
                if key in path:
                    del self.faults[index]
                    return fault
        return {}

    def requests(self, part: str) -> list[dict]:
        """Return the headers of all requests whose path contains this."""
        return [headers for _method, path, headers in self.seen if part in path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body go out in two writes; else each answer waits 40 ms for an ACK
    server: StandInHub

    def log_message(self, *_arguments):
        """Be quiet."""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        fault = self.server.fault(self.path)
        if self.server.wanted_login and self.headers.get("Authorization") != self.server.wanted_login:
            return self.answer(401, b"", {"WWW-Authenticate": 'Basic realm="hub"'})
        if "status" in fault:
            return self.answer(fault["status"], b"", fault.get("headers", {}))
        data = self.content(path)
        return self.answer(404, b"") if data is None else self.ranged(data, fault)

    def content(self, path: str) -> bytes | None:
        server, first = self.server, path.lstrip("/")
        if path.startswith("/lfs-objects/"):
            return server.objects.get(path[13:])
        if path.startswith("/files/"):
            return server.files.get(path[7:])
        if path.startswith(f"/{REPOSITORY}/resolve/{COMMIT}/"):
            return server.files.get(path.split("/", 5)[5])
        if path.startswith(f"/api/models/{REPOSITORY}/"):
            return self.hub(path)
        local = server.folder / first
        return local.read_bytes() if ".git/" in first and ".." not in first and local.is_file() else None

    def hub(self, path: str) -> bytes | None:
        kind, revision = path.split("/")[5:7]
        if kind == "revision":
            return json.dumps({"sha": COMMIT}).encode() if revision in ("main", COMMIT) else None
        entries = [{"type": "directory", "path": "sub"}]
        for name, data in sorted(self.server.files.items()):
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324 (git's choice)
            entry = {"type": "file", "path": name, "size": len(data), "oid": blob}
            if name.endswith(".bin"):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            entries.append(entry)
        return json.dumps(entries).encode()

    def do_POST(self):
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.wanted_login and self.headers.get("Authorization") != self.server.wanted_login:
            return self.answer(401, b"")
        fault = self.server.fault(self.path)
        if "status" in fault:
            return self.answer(fault["status"], b"", fault.get("headers", {}))
        if "body" in fault:
            return self.answer(200, fault["body"])
        entries = []
        for asked in question["objects"]:
            entry = dict(asked)
            if asked["oid"] in self.server.objects:
                link = {"href": f"{self.server.url}/lfs-objects/{asked['oid']}", "expires_in": self.server.link_seconds}
                entry["actions"] = {"download": link}
            else:
                entry["error"] = {"code": 404, "message": "Object does not exist"}
            entries.append(entry)
        body = json.dumps({"transfer": "basic", "objects": entries}).encode()
        return self.answer(200, body, {"Content-Type": "application/vnd.git-lfs+json"})

    def ranged(self, data: bytes, fault: dict) -> None:
        """Answer with all of the data or its requested end, damaged as the fault says."""
        asked, status, headers, start = self.headers.get("Range"), 200, {}, 0
        if asked and not fault.get("ignore_range"):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                return self.answer(416, b"")
            status, headers = 206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        body = data[start:]
        if fault.get("wrong"):
            body = bytes(len(body))
        return self.answer(status, body, headers, cut=fault.get("cut", -1))

    def answer(self, status: int, body: bytes, headers: dict | None = None, cut: int = -1) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = body if cut < 0 else body[:cut]
        try:
            step = max(4096, self.server.rate // 50) if self.server.rate else len(sent) or 1
            for at in range(0, len(sent), step):
                self.wfile.write(sent[at : at + step])
                if self.server.rate:
                    time.sleep(step / self.server.rate)
        except OSError:  # the client was killed
            self.close_connection = True
        if cut >= 0:
            self.close_connection = True


@contextlib.contextmanager
def served(folder: Path) -> Iterator[StandInHub]:
    """Serve a hub out of a new directory while the block runs."""
    folder.mkdir()
    server = StandInHub(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
