"""Check that a refusal is one error that names the file and the value."""

import re

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.engine import convert
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.errors import WeightsError
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.files import read_folder
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.model import read_headers, read_tensors

TO_DO = re.compile(r"[;:.] (put|take|copy|correct|read|run|[Ff]etch) ")


def refused(path, *words):
    """Reading this file of weights must fail with these words, and say what to do."""
    with pytest.raises(WeightsError) as caught:
        read_tensors(str(path))
    assert TO_DO.search(str(caught.value)), caught.value
    for word in words:
        assert word in str(caught.value)


def not_converted(tmp_path, base, delta, *words):
    """Converting must fail with these words and leave nothing behind it; the target would be ``tmp_path/target``."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WeightsError) as caught:
        convert(str(base), str(delta) if delta else None, str(tmp_path / "target"))
    for word in words:
        assert word in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def tensors_in(folder):
    """Return {name: Tensor} of a model directory."""
    return read_headers(read_folder(str(folder), ()))
