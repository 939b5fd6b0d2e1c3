"""Convert synthetic LLaMA models with our engine, with FastChat both ways, and copy the same bytes, side by side.

    export PYTHONPATH=$PWD:$PWD/collections
    .testbed/engine-env/bin/python bench/convert.py --sizes 0.25B 1B --runs 3

Every contender is a process of its own, its inputs dropped from the page cache before (posix_fadvise, the same for
all, after a sync) and its outputs synced within the measured time. The order turns from run to run. Memory is the peak
of the resident set (ru_maxrss). Prints a table of medians with their spread, checks that all results are equal in
every bit, and with ``--plot`` draws memory against model size.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

CLONE = Path(__file__).resolve().parent.parent
BLOCK = 8 << 20
SHARD = 2_000_000_000


class Shape(NamedTuple):
    """A LLaMA: hidden width, layers, width of the MLP, rows of vocabulary, columns of keys and values."""

    hidden: int
    layers: int
    inner: int
    vocabulary: int = 32000
    keys: int | None = None


SHAPES = {
    "0.25B": Shape(1024, 14, 2816),
    "1B": Shape(2048, 18, 5504),
    "7B": Shape(4096, 32, 11008),
    "13B": Shape(5120, 40, 13824),
    "13B/2": Shape(5120, 20, 13824),  # the tensors of 13B, 20 of its 40 layers
    "70B/20": Shape(8192, 4, 28672, keys=1024),  # the tensors of 70B, 4 of its 80 layers
}


class Result(NamedTuple):
    """One run of one contender."""

    seconds: float
    peak: int


def tensors_of(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield (name, shape) of a LLaMA's parameters."""
    keys = shape.keys or shape.hidden
    yield "model.embed_tokens.weight", (shape.vocabulary, shape.hidden)
    for layer in range(shape.layers):
        stem = f"model.layers.{layer}"
        for name, rows in (("q", shape.hidden), ("k", keys), ("v", keys), ("o", shape.hidden)):
            yield f"{stem}.self_attn.{name}_proj.weight", (rows, shape.hidden)
        yield f"{stem}.mlp.gate_proj.weight", (shape.inner, shape.hidden)
        yield f"{stem}.mlp.up_proj.weight", (shape.inner, shape.hidden)
        yield f"{stem}.mlp.down_proj.weight", (shape.hidden, shape.inner)
        yield f"{stem}.input_layernorm.weight", (shape.hidden,)
        yield f"{stem}.post_attention_layernorm.weight", (shape.hidden,)
    yield "model.norm.weight", (shape.hidden,)
    yield "lm_head.weight", (shape.vocabulary, shape.hidden)


def write_model(folder: Path, shape: Shape, seed: int, scale: float, dtype: str) -> None:
    """Write a model as ``.bin`` shards with an index, and a tokenizer that needs no training."""
    import torch  # noqa: PLC0415  (only the process that makes models)

    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    noise = (torch.randn(1 << 24, generator=generator) * scale).to(getattr(torch, dtype))
    groups: list[list[tuple[str, tuple[int, ...]]]] = [[]]
    filled = 0
    for name, size in tensors_of(shape):
        count = torch.Size(size).numel() * noise.element_size()
        if groups[-1] and filled + count > SHARD:
            groups.append([])
            filled = 0
        groups[-1].append((name, size))
        filled += count
    weight_map = {}
    for number, group in enumerate(groups, 1):
        file = f"pytorch_model-{number:05d}-of-{len(groups):05d}.bin"
        state = {}
        for name, size in group:
            count = torch.Size(size).numel()
            shift = int(torch.randint(1 << 24, (1,), generator=generator))
            state[name] = noise.roll(shift).repeat(count // len(noise) + 1)[:count].reshape(size).clone()
            weight_map[name] = file
        torch.save(state, folder / file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.hidden // 128,
        "num_key_value_heads": (shape.keys or shape.hidden) // 128,
        "vocab_size": shape.vocabulary,
        "tie_word_embeddings": False,
        "torch_dtype": dtype,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.json").write_text(json.dumps({"<|endoftext|>": 0, "a": 1, "b": 2}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))


def run_ours(base: str, delta: str, target: str, torch_from: float | None = None) -> None:
    """Convert with the engine; ``torch_from``: bytes from which on torch adds instead of numpy."""
    from ansible_collections.fastchat.fleet.plugins.module_utils.convert import engine, stream  # noqa: PLC0415  (counted in the measured time)

    if torch_from is not None:
        stream.TORCH_FROM = torch_from
    engine.convert(base, delta, target)


def run_copy(base: str, delta: str, target: str) -> None:
    """Read base and delta, write as many bytes as the target has: what any conversion must do at least."""
    Path(target).mkdir()

    def blocks(folder: str) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(BLOCK))
        for path in sorted(Path(folder).glob("*.bin")):
            with open(path, "rb", buffering=0) as stream:
                while count := stream.readinto(buffer):
                    yield buffer[:count]

    with open(Path(target) / "copy", "wb", buffering=0) as out:
        for _from_base, from_delta in zip_longest(blocks(base), blocks(delta)):
            if from_delta:
                out.write(from_delta)
        os.fsync(out.fileno())


IN_THIS_FILE: dict[str, Callable[..., None]] = {
    "ours": run_ours,
    "ours-torch": lambda *folders: run_ours(*folders, torch_from=0),
    "ours-numpy": lambda *folders: run_ours(*folders, torch_from=float("inf")),
    "copy": run_copy,
}


def command(contender: str, folder: Path) -> list[str]:
    """Return the command of one contender."""
    base, delta, target = (str(folder / name) for name in ("base", "delta", contender))
    if contender in IN_THIS_FILE:
        return [sys.executable, __file__, "--contender", contender, base, delta, target]
    argv = [sys.executable, "-m", "fastchat.model.apply_delta", "--base-model-path", base, "--delta-path", delta]
    return [*argv, "--target-model-path", target, *(["--low-cpu-mem"] if contender == "low-cpu-mem" else [])]


def forget(folder: Path) -> None:
    """Drop a directory's files from the page cache."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def measure(contender: str, folder: Path) -> Result:
    """Run one contender on cold inputs; its time ends when all is on the disk."""
    shutil.rmtree(folder / contender, ignore_errors=True)
    forget(folder)
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(temporary), "HF_HUB_OFFLINE": "1"}
    log = folder / f"{contender}.log"
    begin = time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen(command(contender, folder), stdout=stream, stderr=stream, env=environment)
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    os.sync()
    seconds = time.perf_counter() - begin
    if process.returncode:
        sys.exit(f"{contender} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    shutil.rmtree(temporary)
    return Result(seconds, usage.ru_maxrss * 1024)


def digests(folder: Path) -> dict[str, str]:
    """Return {tensor: sha256 of its bytes}, read by the libraries, not by our own reader."""
    import hashlib  # noqa: PLC0415

    import torch  # noqa: PLC0415
    from safetensors import safe_open  # noqa: PLC0415

    def digest(tensor: torch.Tensor) -> str:
        return hashlib.sha256(tensor.contiguous().view(torch.int16).numpy()).hexdigest()

    found = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as stream:
            found.update({name: digest(stream.get_tensor(name)) for name in stream.keys()})  # noqa: SIM118
    for path in folder.glob("*.bin"):
        state = torch.load(path, mmap=True, weights_only=True)
        found.update({name: digest(tensor) for name, tensor in state.items()})
    return found


def in_process(work: Callable[[], None]) -> None:
    """Run something memory-hungry in a child, so that no contender inherits its pages."""
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        sys.exit("A preparing process failed.")


def check_equal(folder: Path, contenders: list[str]) -> None:
    """Leave with an error unless all results have the same tensors, bit for bit."""
    found = {name: digests(folder / name) for name in contenders if name != "copy"}
    first = next(iter(found))
    for name, tensors in found.items():
        if tensors != found[first]:
            different = [
                key for key in tensors.keys() | found[first].keys() if tensors.get(key) != found[first].get(key)
            ]
            raise ValueError(f"{name} and {first} differ in {len(different)} tensors, for example {different[0]}.")
    print(f"equal in every bit: {', '.join(found)}: {len(found[first])} tensors", flush=True)


def spread(values: list[float]) -> str:
    """Return median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} - {max(values):.2f})"


def table(size: str, moved: int, runs: list[dict[str, Result]]) -> Iterator[str]:
    """Yield the rows of one model's table; ratios are taken within each run, then their median."""
    for contender in runs[0]:
        seconds = [run[contender].seconds for run in runs]
        ratios = [run[contender].seconds / run["copy"].seconds for run in runs if "copy" in run]
        peak = statistics.median(run[contender].peak for run in runs)
        rate = moved / statistics.median(seconds)
        cells = [size, contender, spread(seconds), spread(ratios) if ratios else "-"]
        yield "| " + " | ".join([*cells, f"{rate / 1e9:.2f}", f"{peak / 1e9:.2f}"]) + " |"
    others = [name for name in ("apply_delta", "low-cpu-mem") if name in runs[0]]
    if others and "ours" in runs[0]:
        faster = [min(run[name].seconds for name in others) / run["ours"].seconds for run in runs]
        yield f"\nThe faster of FastChat's two takes {spread(faster)} times as long as ours ({size}).\n"


def plot(path: Path, points: dict[str, list[tuple[float, float]]]) -> None:
    """Draw memory (GB) against bytes of the target (GB), both logarithmic to the base of ten, as SVG."""
    import math  # noqa: PLC0415

    colours = {"ours": "#0a7", "apply_delta": "#c33", "low-cpu-mem": "#e90", "copy": "#888"}
    width, height, left, bottom = 640, 400, 60, 350

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (math.log10(x) + 0.6) * 240, bottom - (math.log10(y) + 2) * 95

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">']
    out.append(f'<rect width="{width}" height="{height}" fill="#fff"/>')
    for value in (0.01, 0.1, 1, 10, 30):
        _x, y = place(1, value)
        out.append(f'<path d="M{left} {y:.0f}H{width - 10}" stroke="#ddd"/>')
        out.append(f'<text x="8" y="{y + 4:.0f}" font-size="12">{value:g} GB</text>')
    for value in (0.5, 2, 8, 26):
        x, _y = place(value, 1)
        out.append(f'<text x="{x - 12:.0f}" y="{bottom + 20}" font-size="12">{value:g} GB</text>')
    out.append(
        f'<text x="{left}" y="{height - 8}" font-size="12">size of the target; up: peak of resident memory</text>'
    )
    for number, (name, found) in enumerate(sorted(points.items())):
        placed = [place(x, y) for x, y in sorted(found)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colours[name]}"/>' for x, y in placed]
        out.append(f'<text x="{left + 130 * number}" y="20" font-size="14" fill="{colours[name]}">{name}</text>')
    path.write_text("\n".join([*out, "</svg>"]) + "\n")


def main() -> None:
    """Measure each size, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=["0.25B", "1B"])
    parser.add_argument("--contenders", nargs="+", default=["copy", "ours", "apply_delta", "low-cpu-mem"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--base-dtype", choices=["float16", "float32", "bfloat16"], default="float16")
    parser.add_argument("--delta-is-base", action="store_true", help="for memory alone: a third less disk")
    parser.add_argument("--work", type=Path, default=CLONE / ".testbed" / "bench-convert")
    parser.add_argument("--results", type=Path, help="JSON lines, appended; --plot draws all of them")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    for size in arguments.sizes:
        folder, shape = arguments.work / size.replace("/", "-"), SHAPES[size]
        shutil.rmtree(folder, ignore_errors=True)
        try:
            in_process(lambda: write_model(folder / "base", shape, 1, 0.02, arguments.base_dtype))  # noqa: B023
            if arguments.delta_is_base:
                shutil.copytree(folder / "base", folder / "delta", copy_function=os.link)
            else:
                in_process(lambda: write_model(folder / "delta", shape, 2, 0.002, "float16"))  # noqa: B023
            read = sum(path.stat().st_size for name in ("base", "delta") for path in (folder / name).glob("*.bin"))
            written = sum(path.stat().st_size for path in (folder / "delta").glob("*.bin"))
            runs = []
            for number in range(arguments.runs):
                order = arguments.contenders[number:] + arguments.contenders[:number]
                random.Random(number).shuffle(order)  # noqa: S311
                found = {name: measure(name, folder) for name in order}
                runs.append({name: found[name] for name in arguments.contenders})
                print(
                    json.dumps({name: [round(r.seconds, 2), r.peak >> 20] for name, r in runs[-1].items()}), flush=True
                )
            in_process(lambda: check_equal(folder, arguments.contenders))  # noqa: B023
            print("\n".join(table(size, read + written, runs)), flush=True)
            if arguments.results:
                with arguments.results.open("a") as stream:
                    for name in arguments.contenders:
                        peak = statistics.median(run[name].peak for run in runs)
                        stream.write(json.dumps([name, written / 1e9, peak / 1e9]) + "\n")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    if arguments.plot and arguments.results:
        points: dict[str, list[tuple[float, float]]] = {}
        for line in arguments.results.read_text().splitlines():
            name, size_gb, peak_gb = json.loads(line)
            points.setdefault(name, []).append((size_gb, peak_gb))
        plot(arguments.plot, points)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        IN_THIS_FILE[sys.argv[2]](*sys.argv[3:6])
    else:
        main()
