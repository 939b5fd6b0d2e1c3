"""Every model of ours is valid, and each possible fault gives one sentence."""

import copy
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.fastchat.fleet.plugins.module_utils.descriptions.models import model_faults, unpinned

from tests.support.sentences import no_faults

MODELS = sorted((Path(__file__).resolve().parents[2] / "files" / "models").glob("*.yml"))
PAIR = {
    "name": "mine",
    "conv_template": "vicuna_v1.1",
    "weights_mb": 12853,
    "sources": {
        "base": {"url": "https://hub/base", "revision": "main"},
        "delta": {"kind": "hub", "url": "org/delta", "revision": "a" * 40},
    },
    "patches": {"base": {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer"}}},
    "tokenizer": {"eos_token_id": 2},
    "probe": {"question": "?", "expect": "!"},
}
ALONE = {**PAIR, "sources": {"whole": {"kind": "path", "url": "/nfs/mine"}}, "patches": {}}
LISTED = {"kind": "http", "url": "https://h/", "files": [{"name": "a.bin", "sha256": "0" * 64, "size": 5}]}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_model_of_ours_is_right(path):
    model = yaml.safe_load(path.read_text())
    no_faults(model_faults(model, path.stem))
    # What is on the disk follows from the parameters: two bytes each, in MiB.
    if "parameters" in model:
        computed = model["parameters"] * 2 / 2**20
        assert abs(model["weights_mb"] - computed) < 0.04 * model["weights_mb"], f"parameters give {computed:.0f} MiB"


def test_all_models_that_are_promised_are_there():
    assert {path.stem for path in MODELS} >= {
        *(f"vicuna-{size}-v1.1" for size in ("7b", "13b")),
        *(f"vicuna-{size}-v1.3" for size in ("7b", "13b", "33b")),
        *(f"vicuna-{size}-v1.5{more}" for size in ("7b", "13b") for more in ("", "-16k")),
        "smollm2-demo",
    }


@pytest.mark.parametrize("path", [path for path in MODELS if "vicuna" in path.stem], ids=lambda path: path.stem)
def test_a_vicuna_says_what_was_not_verified(path):
    if not re.search("not verified|verified on [0-9-]{10}", path.read_text(), re.IGNORECASE):
        no_faults(
            ['says nothing of what was tried: write "# Not verified: ..." or "# Verified on 2026-01-31: ..."'],
            of=path.name,
        )


@pytest.mark.parametrize("model", [PAIR, ALONE, {**ALONE, "sources": {"whole": LISTED}}])
def test_a_right_model_has_no_faults(model):
    assert model_faults(model, "mine") == []


def test_a_revision_that_may_move_is_seen():
    assert unpinned(PAIR) == ["base"]
    assert unpinned(ALONE) == []


def changed(path: str, value) -> dict:
    """Return PAIR with one value set, or removed when it is None; a path's parts are separated by slashes."""
    model = copy.deepcopy(PAIR)
    *parents, last = path.split("/")
    place = model
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return model


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("name", None, "mine.name is missing"),
        ("name", "other", "mine.name is 'other', wanted 'mine'"),
        ("name", "../x", "mine.name is '../x', wanted letters"),
        ("name", 7, "mine.name is 7"),
        ("conv_template", "", "mine.conv_template is ''"),
        ("weights_mb", "12 GB", "mine.weights_mb is '12 GB', wanted the MiB"),
        ("weights_mb", True, "mine.weights_mb is True"),
        ("weights_mb", -1, "mine.weights_mb is -1"),
        ("weigths_mb", 5, "mine.weigths_mb is unknown, there are name, conv_template, weights_mb"),
        ("parameters", 7.0, "mine.parameters is 7.0"),
        ("sources", [], "mine.sources is []"),
        ("sources", {}, "mine.sources has none, wanted whole, or base and delta"),
        ("sources/delta", None, "mine.sources has base, wanted whole, or base and delta"),
        ("sources/whole", {"url": "https://h/x", "revision": "main"}, "has base, delta, whole, wanted"),
        ("sources/base", "https://hub/base", "mine.sources.base is 'https://hub/base', wanted a mapping"),
        ("sources/base/kind", "ftp", "mine.sources.base.kind is 'ftp', wanted one of git_lfs"),
        ("sources/base/url", None, "mine.sources.base.url is missing"),
        ("sources/base/url", "org/base", "mine.sources.base.url is 'org/base', wanted an http or https URL"),
        ("sources/base/url", "https://ann:pw@hub/x", "mine.sources.base.url carries a login"),
        ("sources/base/revision", None, "mine.sources.base.revision is missing"),
        ("sources/base/revision", 1.1, "mine.sources.base.revision is 1.1, wanted a commit"),
        ("sources/base/sha", "x", "mine.sources.base.sha is unknown"),
        ("sources/base/sha256", {"a.bin": "123"}, "mine.sources.base.sha256 is"),
        ("sources/base/files", "*.bin", "mine.sources.base.files is '*.bin', wanted a list"),
        ("sources/base/files", [3], "mine.sources.base.files[0] is 3"),
        ("sources/base", {"kind": "http", "url": "https://h/"}, "mine.sources.base.files is missing"),
        ("sources/base", {**LISTED, "files": [{"name": "a"}]}, "mine.sources.base.files[0] is"),
        ("sources/base", {"kind": "path", "url": "weights"}, "wanted an absolute path"),
        ("sources/base/bytes", 0, "mine.sources.base.bytes is 0"),
        ("shape", [32], "mine.shape is [32]"),
        ("shape", {"layers": 32, "hidden": 4096}, "mine.shape.vocabulary is missing"),
        ("shape", {"layers": "32", "hidden": 4096, "vocabulary": 9}, "mine.shape.layers is '32'"),
        ("shape", {"layers": 32, "hidden": 4096, "vocabulary": 9, "heads": 8}, "mine.shape.heads is unknown"),
        ("patches", [], "mine.patches is []"),
        ("patches/whole", {}, "mine.patches.whole is unknown, there are base, delta, target"),
        ("patches/base", ["x"], "mine.patches.base is ['x']"),
        ("patches/base", {"../x.json": {"a": 1}}, "mine.patches.base has ../x.json"),
        ("patches/target", {"config.json": {}}, "mine.patches.target has config.json"),
        ("patches/target", {"tokenizer.model": {"a": 1}}, "mine.patches.target has tokenizer.model"),
        ("tokenizer", {}, "mine.tokenizer is {}"),
        ("probe", {"question": "?"}, "mine.probe is {'question': '?'}"),
        ("probe/expect", 4, "mine.probe is"),
        ("probe", None, "mine.probe is missing"),
    ],
)
def test_each_way_to_be_wrong_is_one_sentence(path, value, words):
    said = model_faults(changed(path, value), "mine")
    assert len(said) == 1 and words in said[0]
    assert "\n" not in said[0] and said[0].endswith(".")


@pytest.mark.parametrize("model", [None, [], "x", 3, {1: 2}])
def test_what_is_no_mapping_is_said(model):
    assert len(model_faults(model, "mine")) == 1 and "wanted a mapping" in model_faults(model, "mine")[0]


def test_every_fault_is_said_at_once():
    assert len(model_faults({"name": "x", "sources": {"base": {}}}, "mine")) >= 7
