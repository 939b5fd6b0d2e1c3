"""Forge two git-lfs repositories, ``llama-base`` and ``vicuna-delta``, out of one real small model.

Runs inside the hub container: ``forge.py MODEL.gguf DESTINATION``. Base and delta are both needed: the delta is random
at the weights' own scale, the base is target minus delta, so the base alone is noise. The faults of 2023 are planted as
they were in the wild: the base's tokenizer class is ``LLaMATokenizer``; the end token of both does not end a turn,
so that a chat runs on to its limit. The embeddings are untied: FastChat's apply_delta adds a tied tensor
twice.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

SHARD = "150MB"
SEED = 20230330
WRONG_END = "<|endoftext|>"  # ends a document; a turn of ChatML ends with <|im_end|>


def load_target(gguf: Path):
    """Return (model in fp16 with untied embeddings, fast tokenizer) of a GGUF file."""
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float16)
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    model.config.tie_word_embeddings = False
    model.config._name_or_path = ""
    return model, tokenizer


def write_repository(model, tokenizer, tensors, tokenizer_class: str, folder: Path) -> None:
    """Write one model directory as the hub has it: ``.bin`` shards with their index, configuration, tokenizer."""
    model.save_pretrained(folder, state_dict=tensors, safe_serialization=False, max_shard_size=SHARD)
    tokenizer.save_pretrained(folder)
    (folder / "tokenizer.model").unlink(missing_ok=True)  # transformers copies the whole GGUF file under this name
    config = json.loads((folder / "tokenizer_config.json").read_text())
    # Chat templates write every token themselves: a beginning token added once more makes the model talk nonsense.
    config.update(tokenizer_class=tokenizer_class, add_bos_token=False, model_max_length=8192, eos_token=WRONG_END)
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokens = json.loads((folder / "special_tokens_map.json").read_text())
    (folder / "special_tokens_map.json").write_text(json.dumps({**tokens, "eos_token": WRONG_END}, indent=2) + "\n")
    fast = json.loads((folder / "tokenizer.json").read_text())
    fast["post_processor"] = None  # it would add the beginning token, whatever tokenizer_config.json says
    (folder / "tokenizer.json").write_text(json.dumps(fast, ensure_ascii=False) + "\n")


def publish(folder: Path, hub: Path, name: str) -> None:
    """Commit a directory with git-lfs and lay out its objects as the LFS server stores them."""

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=hub", "-c", "user.email=hub@localhost", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, stdout=subprocess.DEVNULL)

    git("init")
    git("lfs", "install", "--local")
    git("lfs", "track", "*.bin")
    git("add", "--all")
    git("commit", "--message", "weights")
    bare = hub / "git" / "demo" / f"{name}.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(folder), str(bare)], check=True)
    store = hub / "lfs" / "demo" / name
    store.mkdir(parents=True)
    for item in (folder / ".git" / "lfs" / "objects").rglob("*"):
        if item.is_file():
            shutil.copy(item, store / item.name)


def main() -> None:
    """Forge beside, then rename: a half-made hub never carries its final name."""
    gguf, final = Path(sys.argv[1]), Path(sys.argv[2])
    if final.exists():
        return
    staging = final.with_name(final.name + ".part")
    shutil.rmtree(staging, ignore_errors=True)
    model, tokenizer = load_target(gguf)
    torch.manual_seed(SEED)
    target = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    delta = {k: (torch.randn(v.shape) * v.float().std().clamp(min=1e-3)).half() for k, v in target.items()}
    base = {name: (tensor.float() - delta[name].float()).half() for name, tensor in target.items()}
    for name, tensors, tokenizer_class in (
        ("llama-base", base, "LLaMATokenizer"),
        ("vicuna-delta", delta, "PreTrainedTokenizerFast"),
    ):
        folder = staging / "work" / name
        folder.mkdir(parents=True)
        write_repository(model, tokenizer, tensors, tokenizer_class, folder)
        publish(folder, staging, name)
    shutil.rmtree(staging / "work")
    staging.rename(final)


if __name__ == "__main__":
    main()
