"""The files of a model directory, which may be cut, huge, hostile or links. Reads no tensor, and writes nothing."""

from __future__ import annotations

import json
import os
import stat
from typing import Any, NamedTuple

from ..storage.stand_ins import begins_page, resembles_pointer
from .errors import WeightsError
from .layout import is_name

HEADER_LIMIT = 16 << 20  # bytes of one JSON file, safetensors header or pickle; LLaMA 70B needs less than 0.2 MB
DIGITS_LIMIT = 20  # of an integer in JSON: 2**63 has 19
HEAD = 512  # bytes at a file's beginning that tell what lies there instead of it
CONFIG = "config.json"
TOKENIZER_MODELS = ("tokenizer.model", "tokenizer.json", "vocab.json")  # one of these makes a tokenizer
TOKENIZER_FILES = (
    *TOKENIZER_MODELS,
    *("merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
)
TOKENIZER_LIMIT = 128 << 20  # bytes of one tokenizer file
SAFETENSORS_INDEX = "model.safetensors.index.json"
BIN_INDEX = "pytorch_model.bin.index.json"
INDEXES = {"safetensors": SAFETENSORS_INDEX, "bin": BIN_INDEX}  # format: name of the index of a sharded model
MODEL_FILES = (  # what tells a model directory's format, in the order in which transformers looks
    ("model.safetensors", "safetensors"),
    (SAFETENSORS_INDEX, "safetensors"),
    ("pytorch_model.bin", "bin"),
    (BIN_INDEX, "bin"),
)


class Folder(NamedTuple):
    """A model directory as plain data: all of it but the headers of its weights.

    ``format`` is ``safetensors`` or ``bin``, '' where no weights were asked for. ``config`` is its configuration, None
    where that is not there or was not asked for. ``shards`` is {name: real path} in order. ``index`` is the content of
    the file that names them, and ``weight_map`` its {tensor: shard}; both are None where the model is one file.
    ``small`` is {name: content} of the other files, of those that were asked for.
    """

    path: str
    format: str
    config: dict[str, Any] | None
    shards: dict[str, str]
    index: bytes | None
    weight_map: dict[str, str] | None
    small: dict[str, bytes]


def refuse_stand_in(first: bytes, path: str) -> None:
    """Refuse what lies where a file should be: nothing, a git-lfs pointer, or a web page.

    ``first`` is the beginning of the file.
    """
    if not first:
        raise WeightsError(f"{path} is empty; fetch it again.")
    if resembles_pointer(first):
        raise WeightsError(
            f"{path} is a git-lfs pointer, not the file itself; run git lfs pull in its repository, or fetch it again."
        )
    if begins_page(first[:HEAD]):
        raise WeightsError(f"{path} is a web page (HTML), not the file itself; read what it says and fetch it again.")


def regular_file(folder: str, name: str) -> str:
    """Return the real path of a file directly in a model directory; refuse what leads out of it."""
    if name in (".", "..") or "/" in name or not is_name(name):
        raise WeightsError(
            f"{folder} names the file {name[:100]!r}, wanted a plain file name without a path; fetch it again."
        )
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
        raise WeightsError(f"{path} is not a regular file; put the file itself there.")
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
        raise WeightsError(
            f"{path} is not usable JSON ({type(error).__name__}: {str(error)[:100]}); fetch it again."
        ) from None


def parse_json(text: bytes, path: str) -> dict[str, Any]:
    """Return the object that a JSON text holds; doubled keys, huge integers and endless nesting are refused."""
    found = load_json(text, path, parse_int=short_integer, object_pairs_hook=single_keys)
    if not isinstance(found, dict):
        raise WeightsError(f"{path} holds a {type(found).__name__} at its top, wanted an object; fetch it again.")
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


def checked_small_files(folder: str) -> dict[str, bytes]:
    """Return {name: content} of a model directory's JSON files and files of the tokenizer.

    Raises WeightsError where something else lies in the place of one. All of them are looked at, also those that nobody
    asked for: one of them tells that a fetch went wrong.
    """
    found = {}
    for name in sorted(os.listdir(folder)):
        is_json = name.endswith(".json") and not name.startswith(".")  # what a fetch notes is hidden
        if is_json or name in TOKENIZER_FILES:
            path, limit = os.path.join(folder, name), TOKENIZER_LIMIT if name in TOKENIZER_FILES else HEADER_LIMIT
            data = read_small(folder, name, limit)
            refuse_stand_in(data, path)
            if is_json:
                load_json(data, path)
            found[name] = data
    return found


def found_format(folder: str) -> tuple[str, str]:
    """Return (file, format) by which a model is read, the file being its weights or its index; transformers' order."""
    for name, kind in MODEL_FILES:
        if os.path.lexists(os.path.join(folder, name)):
            return name, kind
    raise WeightsError(
        f"{folder} has no weights: neither model.safetensors nor pytorch_model.bin, nor an index of shards; fetch the"
        " model, or correct the path."
    )


def read_weight_map(folder: str, index: str) -> dict[str, str]:
    """Return {tensor: shard} of the index that is named so in a model directory."""
    return weight_map_of(read_small(folder, index), folder, index)


def weight_map_of(text: bytes, folder: str, index: str) -> dict[str, str]:
    """Return {tensor: shard} of an index's content; its shards must be named as weights are."""
    weight_map = parse_json(text, os.path.realpath(os.path.join(folder, index))).get("weight_map")
    if not isinstance(weight_map, dict) or not all(type(shard) is str for shard in weight_map.values()):
        raise WeightsError(f"{index} in {folder} has no usable weight_map; fetch it again.")
    if other := sorted(name for name in set(weight_map.values()) if not name.endswith((".safetensors", ".bin"))):
        raise WeightsError(
            f"{index} in {folder} names {other[0][:100]!r}, wanted .safetensors or .bin files; fetch it again."
        )
    return weight_map


def read_folder(
    folder: str, small: tuple[str, ...], wanted: frozenset[str] | None = None, links: tuple[str, ...] = ()
) -> Folder:
    """Return what a model directory holds besides tensors; the weights must be there, the ``small`` files need not.

    ``small`` names the JSON files and the files of the tokenizer that are returned. With ``wanted``, only the shards
    that hold those tensors need be there; none are looked for when it is empty. With ``links``, only these files of
    weights are. Raises WeightsError.
    """
    read = checked_small_files(folder) if os.path.isdir(folder) else {}
    there = {name: read[name] for name in small if name in read}
    config = parse_json(there.pop(CONFIG), os.path.join(folder, CONFIG)) if CONFIG in there else None
    if not links and wanted is not None and not wanted:
        return Folder(folder, "", config, {}, None, None, there)
    name, kind = found_format(folder)
    index = read[name] if name.endswith(".json") else None
    weight_map = weight_map_of(index, folder, name) if index is not None and not links else None
    if links:
        used = set(links)
    elif weight_map is None:
        used = {name}
    else:
        used = {shard for tensor, shard in weight_map.items() if wanted is None or tensor in wanted}
    shards = {shard: regular_file(folder, shard) for shard in sorted(used)}
    if links:  # nobody reads their headers
        for path in shards.values():
            with open(path, "rb") as stream:
                refuse_stand_in(stream.read(HEAD), path)
    return Folder(folder, kind, config, shards, index, weight_map, there)
