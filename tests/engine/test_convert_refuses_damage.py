"""Damaged sources are refused in one sentence, and leave no target."""

import os
import random
import shutil

import models
import pytest
import torch
from ansible_collections.fastchat.fleet.plugins.module_utils.convert import engine
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.engine import convert
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.errors import WeightsError
from models import SMALL


def mutated(content, generator):
    """Return file content with one of several kinds of damage; most often in the first and last bytes, the headers."""
    data = bytearray(content)
    how = generator.randrange(5)
    place = generator.choice([generator.randrange(len(data)), generator.randrange(min(len(data), 400))])
    place = generator.choice([place, len(data) - 1 - generator.randrange(min(len(data), 400))])
    if how == 0:
        return bytes(data[:place])
    if how == 1:
        data[place : place + generator.randrange(1, 30)] = b""
    elif how == 2:
        data[place:place] = generator.randbytes(generator.randrange(1, 30))
    else:
        for _ in range(generator.choice([1, 1, 4])):
            data[(place + generator.randrange(8)) % len(data)] = generator.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("kind", ["bin", "legacy", "safetensors"])
@pytest.mark.parametrize("seed", range(8))
def test_damaged_files_are_refused_or_converted_but_never_crash(tmp_path, kind, seed):
    generator = random.Random(seed)  # noqa: S311 (damage, not secrets)
    state = {f"layer.{number}": torch.randn(5, 6).half() for number in range(4)}
    base = models.write(tmp_path / "base", [dict(list(state.items())[:2]), dict(list(state.items())[2:])], kind)
    models.write(tmp_path / "delta", [state], "safetensors")
    victims = [path for path in base.iterdir() if path.name != "tokenizer.json"]
    outcomes = set()
    for _ in range(25):
        victim = generator.choice(victims)
        content = victim.read_bytes()
        victim.write_bytes(mutated(content, generator))
        try:
            convert(str(base), str(tmp_path / "delta"), str(tmp_path / "target"), budget_bytes=1)
            outcomes.add("converted")
            shutil.rmtree(tmp_path / "target")
        except WeightsError as error:
            outcomes.add("refused")
            assert str(error).count("\n") == 0
            assert not (tmp_path / "target.part").exists(), error
        victim.write_bytes(content)
        assert {path.name for path in tmp_path.iterdir()} == {"base", "delta"}
    assert "refused" in outcomes


def test_a_source_that_shrinks_while_it_is_read_leaves_no_target(tmp_path, monkeypatch):
    state = {"a": torch.randn(300, 300).half()}
    base = models.write(tmp_path / "base", [state], "safetensors")
    models.write(tmp_path / "delta", [state])
    plan = engine.make_plan

    def then_cut(*arguments):
        made = plan(*arguments)
        os.truncate(base / "model.safetensors", 1000)
        return made

    monkeypatch.setattr(engine, "make_plan", then_cut)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(WeightsError, match="was cut while it was read"):
        convert(str(base), str(tmp_path / "delta"), str(tmp_path / "target"), **SMALL)
    assert not (tmp_path / "target").exists()
    assert len(os.listdir("/proc/self/fd")) == before
