"""Write one file: its ``.part`` grows, is hashed as it grows, synced and renamed. Python >= 3.6."""

import contextlib
import os
import threading
from typing import Any

from ..storage.digests import BLOCK
from ..storage.files import PART, remove, rename, sync_file
from ..storage.stand_ins import is_page, is_pointer
from .errors import FetchError, Transient
from .http_client import backoff, reason_of
from .items import Digest, Item, digest_file
from .names import path_below
from .options import Options
from .progress import Progress
from .state import plain_file

WORTH_A_RETRY = 1 << 20  # bytes; an attempt that brought so many does not count as failed


class Task:
    """One file on its way to its place."""

    def __init__(self, item: Item, folder: str, progress: Progress, stop: threading.Event, options: Options) -> None:
        """``stop`` is set when another file has failed for good."""
        self.item, self.folder, self.progress, self.stop, self.options = item, folder, progress, stop, options
        self.path = path_below(folder, item.name)
        self.part = self.path + PART
        self.digest, self.done = Digest(item), 0

    def run(self) -> str:
        """Bring the file to its place and return its sha256; after a FetchError ``.part`` stays for the next run."""
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        path_below(self.folder, self.item.name)  # checked again, because a link may have been made meanwhile
        sha256 = self.finished_before()
        if sha256:
            return sha256
        if self.item.link and self.linked():
            return self.finish()
        for last in (False, True):
            self.resume()
            self.download()
            fault = self.digest.fault(self.done)
            if not fault:
                self.refuse_pointer()
                return self.finish()
            page = is_page(self.part)
            self.forget()
            if last and page:
                raise FetchError(
                    "%s came twice as a web page (HTML) with %s: read what the server says at its address."
                    % (self.item.name, fault)
                )
            if last:
                raise FetchError(
                    "%s came twice with %s: correct the source, or the sum that is wanted." % (self.item.name, fault)
                )
        raise AssertionError("unreachable")

    def refuse_pointer(self) -> None:
        """Refuse a git-lfs pointer that a source hands out as the file, even where its sum is the pointer's."""
        if is_pointer(self.part):
            remove(self.part)
            raise FetchError(
                "%s came as a git-lfs pointer, not as the file itself: put the file there with git lfs pull, and its "
                "own sum where the source lists one." % self.item.name
            )

    def finished_before(self) -> str:
        """Return the sha256 of a file that is at its place already and right; remove it when it is wrong."""
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
        """Hash what a killed run left; a part that is longer than the file is thrown away."""
        facts = plain_file(self.part)
        if facts is None or facts.st_nlink > 1 or facts.st_size > self.item.size >= 0:
            remove(self.part)
            return
        self.digest, self.done = digest_file(self.part, self.item)
        self.progress.add(there=self.done)

    def forget(self) -> None:
        """Throw away the part, which is not the beginning of the file."""
        self.progress.add(there=-self.done)
        self.digest, self.done = Digest(self.item), 0
        remove(self.part)

    def download(self) -> None:
        """Append until the size is reached, and resume after each cut; raises FetchError without progress."""
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
        """Read one answer until it or the file ends."""
        stream, start = self.item.open(self.done)
        with contextlib.closing(stream):
            if start != self.done:
                self.forget()
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            with open(os.open(self.part, flags, 0o644), "wb", buffering=0) as target:
                self.copy(stream, target)

    def copy(self, stream: Any, target: Any) -> None:
        """Append the bytes of a stream; raises Transient when it ends early."""
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
        sync_file(self.part)
        rename(self.part, self.path)
        self.progress.add(finished=1)
        return self.digest.sha256.hexdigest()
