"""Read the files of a model directory, which may be cut, huge, hostile or links. Writes nothing."""

from __future__ import annotations

import json
import os
import stat
from typing import Any

from .errors import WeightsError
from .layout import is_name

HEADER_LIMIT = 16 << 20  # bytes of one JSON file, safetensors header or pickle; LLaMA 70B needs less than 0.2 MB
DIGITS_LIMIT = 20  # of an integer in JSON: 2**63 has 19
LFS_POINTER = b"version https://git-lfs"
HEAD = 512  # bytes at a file's beginning that tell what lies there instead of it


def refuse_stand_in(first: bytes, path: str) -> None:
    """Refuse what lies where a file should be: nothing, a git-lfs pointer, or a web page.

    ``first`` is the beginning of the file.
    """
    if not first:
        raise WeightsError(f"{path} is empty; fetch it again.")
    if first.startswith(LFS_POINTER):
        raise WeightsError(
            f"{path} is a git-lfs pointer, not the file itself; run git lfs pull in its repository, or fetch it again."
        )
    if first[:HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
        raise WeightsError(f"{path} is a web page (HTML), not the file itself; read what it says and fetch it again.")


def regular_file(folder: str, name: str) -> str:
    """Return the real path of a file directly in a model directory; refuse what leads out of it."""
    if name in (".", "..") or "/" in name or not is_name(name):
        raise WeightsError(f"{folder} names the file {name[:100]!r}, wanted a plain file name without a path.")
    path = os.path.join(folder, name)
    real = os.path.realpath(path)
    if os.path.dirname(real) != os.path.realpath(folder) and not real.startswith(os.path.realpath(folder) + os.sep):
        raise WeightsError(f"{path} is a link out of the model's directory, to {real}; copy the file there.")
    try:
        mode = os.stat(real).st_mode
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing; fetch the model again.") from None
    except OSError as error:
        raise WeightsError(f"{path} can not be read ({error.strerror}); correct that.") from None
    if not stat.S_ISREG(mode):
        raise WeightsError(f"{path} is not a regular file.")
    return real


def pread_exactly(descriptor: int, size: int, offset: int, path: str) -> bytes:
    """Return ``size`` bytes at ``offset``; a file that ends before that is refused."""
    parts, missing = [], size
    while missing:
        part = os.pread(descriptor, missing, offset + size - missing)
        if not part:
            raise WeightsError(f"{path} is cut: it ends before byte {offset + size}; fetch it again.")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def short_integer(digits: str) -> int:
    """Return an integer in JSON; converting endless digits would take for ever."""
    if len(digits) > DIGITS_LIMIT:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def single_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object in JSON; a key that occurs twice is refused."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def load_json(text: bytes, path: str, **hooks: Any) -> Any:
    """Return what a JSON text holds; what is no JSON is refused, with the reason that was seen."""
    refuse_stand_in(text, path)
    try:
        return json.loads(text, **hooks)
    except json.JSONDecodeError as error:
        if 0 < len(error.doc.rstrip()) <= error.pos or error.msg.startswith("Unterminated string"):
            raise WeightsError(f"{path} is cut: its JSON has no end after {len(text)} bytes; fetch it again.") from None
        raise WeightsError(f"{path} is not usable JSON ({str(error)[:100]}); fetch it again.") from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not usable JSON ({type(error).__name__}: {str(error)[:100]}).") from None


def parse_json(text: bytes, path: str) -> dict[str, Any]:
    """Return the object that a JSON text holds; doubled keys, huge integers and endless nesting are refused."""
    found = load_json(text, path, parse_int=short_integer, object_pairs_hook=single_keys)
    if not isinstance(found, dict):
        raise WeightsError(f"{path} holds a {type(found).__name__} at its top, wanted an object.")
    return found


def read_small(folder: str, name: str, limit: int = HEADER_LIMIT) -> bytes:
    """Return the content of a file of a model directory; one of more than ``limit`` bytes is refused."""
    path = regular_file(folder, name)
    with open(path, "rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise WeightsError(f"{path} is larger than {limit} bytes, too large for a file of this name; fetch it again.")
    return data


def read_small_if_there(folder: str, name: str, limit: int = HEADER_LIMIT) -> bytes | None:
    """Return the content of a file of a model directory like ``read_small``, or None where there is none."""
    return read_small(folder, name, limit) if os.path.lexists(os.path.join(folder, name)) else None


def read_json(folder: str, name: str) -> dict[str, Any]:
    """Return the object in a JSON file of a model directory."""
    return parse_json(read_small(folder, name), os.path.realpath(os.path.join(folder, name)))
