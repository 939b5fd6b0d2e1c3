"""Check a file of files/models before any host is contacted."""

from __future__ import annotations

import re
from typing import Any

from .rules import Rule, faults_of, mapping, text, whole

KINDS = ("git_lfs", "hub", "http", "path")
PAIRS = ({"whole"}, {"base", "delta"})
COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?$")
SHA256 = re.compile(r"[0-9a-f]{64}$")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*$")


def sums(value: Any) -> bool:
    """Return whether a value maps file names to sha256."""
    return mapping(value) and all(isinstance(digest, str) and SHA256.match(digest) for digest in value.values())


MODEL: dict[str, Rule] = {
    "name": (True, lambda v: isinstance(v, str) and bool(NAME.match(v)), "letters, digits, dots, dashes"),
    "conv_template": (True, text, "the name of one of FastChat's templates, such as vicuna_v1.1"),
    "weights_mb": (True, whole, "the MiB of the converted weights, such as 12853 for 7B"),
    "parameters": (False, whole, "the number of parameters, such as 6738415616"),
    "context_tokens": (False, whole, "the longest prompt and answer in tokens, such as 4096"),
    "shape": (False, mapping, "layers, hidden, vocabulary, and kv_hidden where keys are narrower"),
    "sources": (True, mapping, "whole, or base and delta"),
    "patches": (False, mapping, "base and target, each {file: {key: value}}"),
    "tokenizer": (True, lambda v: mapping(v) and bool(v), "what its tokenizer must say, such as {eos_token_id: 2}"),
    "probe": (True, mapping, "question and expect"),
}
SHAPE: dict[str, Rule] = {  # as in config.json; memory is planned with these
    "layers": (True, whole, "num_hidden_layers, such as 32"),
    "hidden": (True, whole, "hidden_size, such as 4096"),
    "vocabulary": (True, whole, "vocab_size, such as 32000"),
    "kv_hidden": (False, whole, "hidden_size / num_attention_heads * num_key_value_heads, where these differ"),
}
SOURCE: dict[str, Rule] = {
    "kind": (False, lambda v: v in KINDS, "one of " + ", ".join(KINDS)),
    "url": (True, text, "a URL, a hub's organisation/name, or a directory"),
    "revision": (False, text, "a commit, a tag or a branch, in quotes if it is a number"),
    "files": (False, lambda v: isinstance(v, list), "a list"),
    "sha256": (False, sums, "{file: 64 hexadecimal digits}"),
    "endpoint": (False, text, "the URL of a mirror of the hub"),
    "bytes": (False, whole, "about how many bytes are fetched"),
}


def source_faults(source: Any, where: str) -> list[str]:
    """Return one sentence for each fault of a source."""
    faults = faults_of(source, SOURCE, where)
    if faults:
        return faults
    kind, url, files = source.get("kind", "git_lfs"), source["url"], source.get("files", [])
    if kind in ("git_lfs", "http") and not re.match(r"https?://[^/\s]+", url):
        faults.append(f"{where}.url is {url!r}, wanted an http or https URL for kind {kind}.")
    if "@" in url.partition("://")[2].partition("/")[0]:
        faults.append(f"{where}.url carries a login: remove it, use netrc or the variable with the token.")
    if kind == "path" and not url.startswith("/"):
        faults.append(f"{where}.url is {url!r}, wanted an absolute path for kind path.")
    if kind in ("git_lfs", "hub") and "revision" not in source:
        faults.append(f"{where}.revision is missing, wanted a commit, a tag or a branch: add it.")
    for index, entry in enumerate(files):
        if kind == "http":
            is_entry = mapping(entry) and text(entry.get("name")) and sums({"x": entry.get("sha256")})
            if not is_entry or set(entry) - {"name", "sha256", "url", "size"}:
                faults.append(f"{where}.files[{index}] is {entry!r}, wanted name, sha256 and perhaps url and size.")
        elif not text(entry):
            faults.append(f"{where}.files[{index}] is {entry!r}, wanted a file name pattern such as '*.bin'.")
    if kind == "http" and not files:
        faults.append(f"{where}.files is missing, wanted a list of {{name, sha256}} for kind http: add it.")
    return faults


def patch_faults(patches: Any, sources: set[str], where: str) -> list[str]:
    """Return one sentence for each patch that names no part of the model, no JSON file, or no keys."""
    parts, faults = (sources - {"whole"}) | {"target"}, []
    for part, files in patches.items():
        if part not in parts:
            faults.append(f"{where}.{part} is unknown, there are {', '.join(sorted(parts))}: rename it.")
        elif not mapping(files):
            faults.append(f"{where}.{part} is {files!r}, wanted {{file: {{key: value}}}}.")
        else:
            for name, keys in files.items():
                if not re.match(r"[\w-][\w.-]*\.json$", name) or not mapping(keys) or not keys:
                    faults.append(f"{where}.{part} has {name}: {keys!r}, wanted {{a JSON file: {{key: value}}}}.")
    return faults


def model_faults(model: Any, name: str = "") -> list[str]:
    """Return one sentence for each fault of a model's description; [] when there is none.

    ``name`` is what its file is called without .yml; the sentences begin with it.
    """
    where = name or "model"
    faults = faults_of(model, MODEL, where)
    if not mapping(model):
        return faults
    if name and MODEL["name"][1](model.get("name")) and model["name"] != name:
        faults.append(f"{where}.name is {model['name']!r}, wanted {name!r} as its file is called.")
    sources = model.get("sources")
    if mapping(sources):
        if set(sources) not in PAIRS:
            faults.append(
                f"{where}.sources has {', '.join(sorted(sources)) or 'none'}, wanted whole, or base and delta."
            )
        for key, source in sources.items():
            faults += source_faults(source, f"{where}.sources.{key}")
    if mapping(model.get("shape")):
        faults += faults_of(model["shape"], SHAPE, f"{where}.shape")
    if mapping(model.get("patches")) and mapping(sources) and sources:
        faults += patch_faults(model["patches"], set(sources), f"{where}.patches")
    probe = model.get("probe")
    if mapping(probe) and not (set(probe) == {"question", "expect"} and all(map(text, probe.values()))):
        faults.append(f"{where}.probe is {probe!r}, wanted a question and what its answer must hold as expect.")
    return faults


def unpinned(model: dict) -> list[str]:
    """Return the sources of a model without faults whose revision may move; a later run may fetch other files."""
    return [
        key
        for key, source in model["sources"].items()
        if source.get("kind", "git_lfs") in ("git_lfs", "hub") and not COMMIT.match(source["revision"])
    ]
