"""A conversion gives the same bits as torch and FastChat, whatever the files look like."""

import hashlib
import json
import tempfile
from pathlib import Path

import models
import numpy
import pytest
import torch
from ansible_collections.fastchat.fleet.plugins.module_utils.convert import stream
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.add import Adder, as_half
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.engine import convert
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.layout import DTYPES, HALF
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import SMALL


def reference(base, delta):
    """Return what apply_delta makes of two tensors: both loaded as float16, then ``param.data += delta``."""
    param = base.to(torch.float16).clone()
    param += delta.to(torch.float16)
    return param


def strided(tensor, how):
    """Return a tensor of the same values whose memory is laid out otherwise."""
    if how == "transposed" and tensor.dim() > 1:
        return tensor.transpose(0, -1).contiguous().transpose(0, -1)
    if how == "stepped" and tensor.dim():
        wide = torch.zeros(*tensor.shape[:-1], tensor.shape[-1] * 2, dtype=tensor.dtype)
        wide[..., ::2] = tensor
        return wide[..., ::2]
    if how == "sparse" and tensor.dim():
        wide = torch.zeros(*tensor.shape, 9, dtype=tensor.dtype)
        wide[..., 3] = tensor
        return wide[..., 3]
    if how == "offset":
        flat = torch.cat([torch.ones(5, dtype=tensor.dtype), tensor.flatten()])
        return flat[5:].view(tensor.shape)
    if how == "expanded" and tensor.dim():
        return tensor[:1].expand(tensor.shape)
    return tensor


@st.composite
def tensors(draw, shape):
    """Draw a tensor with extreme values among its bits: infinities, subnormals and NaN."""
    dtype = draw(st.sampled_from(models.DTYPES))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    values = torch.randn(shape, generator=generator, dtype=torch.float64) * 10.0 ** draw(st.integers(-8, 5))
    if draw(st.booleans()) and values.numel():
        odd = [float("nan"), float("inf"), -float("inf"), 65504.0, 6e-8, -0.0, 65520.0, 2.0**-24 + 2.0**-40]
        for value in draw(st.lists(st.sampled_from(odd), max_size=6)):
            values.view(-1)[draw(st.integers(0, values.numel() - 1))] = value
    how = draw(st.sampled_from(["plain", "transposed", "stepped", "sparse", "offset", "expanded"]))
    return strided(values.to(dtype), how)


@st.composite
def sides(draw):
    """Draw (base, delta) with the same names and shapes."""
    names = draw(st.lists(st.text("abcé.0", min_size=1, max_size=12), min_size=1, max_size=6, unique=True))
    extents = st.one_of(st.integers(0, 9), st.integers(40, 90))
    shapes = {name: tuple(draw(st.lists(extents, max_size=3))) for name in names}
    return tuple({name: draw(tensors(shape)) for name, shape in shapes.items()} for _ in range(2))


def dealt(draw, state):
    """Deal a state dict out to one to three shards, in an order of its own."""
    count = draw(st.integers(1, min(3, len(state))))
    names = draw(st.permutations(sorted(state)))
    return [{name: state[name] for name in names[number::count]} for number in range(count)]


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_sums_are_torchs(data):
    base, delta = data.draw(sides())
    kinds = [data.draw(st.sampled_from(["bin", "legacy", "safetensors"])) for _ in range(2)]
    output = data.draw(st.sampled_from(["safetensors", "bin"]))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        models.write(root / "base", dealt(data.draw, base), kinds[0])
        models.write(root / "delta", dealt(data.draw, delta), kinds[1])
        found = convert(str(root / "base"), str(root / "delta"), str(root / "target"), output=output, **SMALL)
        result = models.read(root / "target")
        assert set(result) == set(base)
        for name in base:
            assert models.same_bits(result[name], reference(base[name], delta[name])), name
        for name, entry in found["files"].items():
            content = (root / "target" / name).read_bytes()
            assert entry == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_whole_model_keeps_every_bit(data):
    state = data.draw(sides())[0]
    state["count"] = torch.arange(7)
    state["mask"] = torch.tensor([True, False])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        models.write(root / "whole", dealt(data.draw, state), data.draw(st.sampled_from(["bin", "legacy"])))
        convert(str(root / "whole"), None, str(root / "safe"), **SMALL)
        convert(str(root / "safe"), None, str(root / "back"), output="bin", **SMALL)
        for target in ("safe", "back"):
            result = models.read(root / target)
            assert set(result) == set(state)
            assert all(models.same_bits(result[name], state[name]) for name in state)


def test_every_pair_of_halves_adds_alike_in_numpy_and_torch():
    every = torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16).view(torch.float16)
    for seed in range(8):
        other = every[torch.randperm(65536, generator=torch.Generator().manual_seed(seed))]
        sums = []
        for want_torch in (False, True):
            adder = Adder(want_torch)
            adder.close()
            sums.append(adder.add(every.clone().numpy(), HALF, other.clone().numpy(), HALF))
        assert models.same_bits(torch.from_numpy(sums[0]), torch.from_numpy(sums[1]))
        assert models.same_bits(torch.from_numpy(sums[0]), every + other)


@pytest.mark.parametrize("dtype", ["F64", "F32", "BF16"])
def test_conversions_to_half_are_torchs(dtype):
    bits = numpy.random.default_rng(1).integers(0, 2**64, 1 << 17, numpy.uint64)
    raw = torch.from_numpy(bits.view(numpy.int64))
    kind = DTYPES[dtype]
    values = raw.view({"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16}[dtype])
    near = torch.randn(1 << 17, dtype=torch.float64).to(values.dtype)
    for tensor in (values, near):
        with numpy.errstate(all="ignore"):
            ours = as_half(tensor.view(torch.uint8).numpy().view(kind.numpy), kind)
        assert models.same_bits(torch.from_numpy(ours), tensor.to(torch.float16))


def test_large_models_go_through_torch(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "TORCH_FROM", 1)
    base, delta = ({"a": torch.randn(300, 700).half()} for _ in range(2))
    models.write(tmp_path / "base", [base])
    models.write(tmp_path / "delta", [delta])
    convert(str(tmp_path / "base"), str(tmp_path / "delta"), str(tmp_path / "target"), budget_bytes=1)
    assert torch.equal(models.read(tmp_path / "target")["a"], reference(base["a"], delta["a"]))


def test_new_rows_of_vocabulary_are_the_deltas(tmp_path):
    name = "lm_head.weight"
    base, delta = {name: torch.randn(500, 30).half()}, {name: torch.randn(503, 30).half()}
    models.write(tmp_path / "base", [base], vocab_size=500)
    models.write(tmp_path / "delta", [delta], vocab_size=503)
    convert(str(tmp_path / "base"), str(tmp_path / "delta"), str(tmp_path / "target"), **SMALL)
    extended = torch.cat([base[name], torch.zeros(3, 30).half()])
    assert torch.equal(models.read(tmp_path / "target")[name], extended + delta[name])


def test_tensors_that_share_a_storage_are_each_written(tmp_path):
    one = torch.randn(20, 30).half()
    state = {"whole": one, "view": one[3:7, 2:], "parameter": torch.nn.Parameter(one.T), "alias": one}
    models.write(tmp_path / "whole", [state])
    convert(str(tmp_path / "whole"), None, str(tmp_path / "target"))
    result = models.read(tmp_path / "target")
    assert all(torch.equal(result[name], state[name]) for name in state)


def llama(folder, dtype, seed):
    """Write a tiny LLaMA of random weights with transformers, with a tokenizer that FastChat loads."""
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415 (slow)

    torch.manual_seed(seed)
    config = LlamaConfig(64, 32, 96, num_hidden_layers=2, num_attention_heads=4, tie_word_embeddings=False)
    LlamaForCausalLM(config).to(dtype).save_pretrained(folder, safe_serialization=False, max_shard_size="20KB")
    (folder / "vocab.json").write_text(json.dumps({"<|endoftext|>": 0, "a": 1}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))


@pytest.mark.parametrize("base_dtype", [torch.float16, torch.float32, torch.bfloat16])
def test_fastchats_apply_delta_gives_the_same_bits(tmp_path, base_dtype):
    from fastchat.model.apply_delta import apply_delta  # noqa: PLC0415 (slow)
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 (slow)

    llama(tmp_path / "base", base_dtype, 1)
    llama(tmp_path / "delta", torch.float16, 2)
    apply_delta(str(tmp_path / "base"), str(tmp_path / "theirs"), str(tmp_path / "delta"))
    for output in ("safetensors", "bin"):
        convert(str(tmp_path / "base"), str(tmp_path / "delta"), str(tmp_path / output), output=output, **SMALL)
        theirs, ours = models.read(tmp_path / "theirs"), models.read(tmp_path / output)
        assert set(theirs) == set(ours)
        assert all(models.same_bits(theirs[name], ours[name]) for name in theirs)
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path / output, dtype="auto")
        assert loaded.dtype == torch.float16
        assert all(models.same_bits(loaded.state_dict()[name], theirs[name]) for name in theirs)
