"""Forge pairs of git-lfs repositories, a base and a delta, out of one real small model.

Runs inside the hub container: ``forge.py MODEL.gguf DESTINATION``. Base and delta are both needed: the delta is random
at the weights' own scale, the base is target minus delta, so the base alone is noise. The faults of 2023 are planted as
they were in the wild: the base's tokenizer class is ``LLaMATokenizer``; the end token of both does not end a turn,
so that a chat runs on to its limit. The embeddings are untied: FastChat's apply_delta adds a tied tensor
twice.

``llama-base`` and ``vicuna-delta`` are the model as it is. ``llama-mha-base`` and ``vicuna-mha-delta`` are the same
model for the transformers of 2023, which knows neither grouped-query attention nor another rotary base than 10000.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

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


def ungrouped(model):
    """Return the same model with a key and a value head for each query head, as transformers 4.28 wants it.

    A group's heads share one key and one value: each becomes a copy, so every head computes what it did. The rotary
    base (100000 here) can not be moved into the weights: 4.28 has 10000 built in, so the configuration says that and
    newer ones do the same. What that costs: the model knows Paris in fewer wordings of the question.
    """
    config = model.config
    groups, size = config.num_key_value_heads, config.hidden_size // config.num_attention_heads
    copies, tensors = config.num_attention_heads // groups, model.state_dict()
    for name, tensor in tensors.items():
        if name.endswith(("k_proj.weight", "v_proj.weight")):
            heads = tensor.view(groups, size, -1).repeat_interleave(copies, dim=0)
            tensors[name] = heads.reshape(-1, tensor.shape[1])
    config.num_key_value_heads, config.rope_theta = config.num_attention_heads, 10000.0
    expanded = LlamaForCausalLM(config).half()
    expanded.load_state_dict(tensors)
    return expanded


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
    # As before tokenizers 0.20, which also reads what is written today, as pairs.
    fast["model"]["merges"] = [m if isinstance(m, str) else " ".join(m) for m in fast["model"]["merges"]]
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


def forge_pair(model, tokenizer, staging: Path, names: tuple[str, str]) -> None:
    """Split a model into a base and a delta, and publish both under their names."""
    torch.manual_seed(SEED)
    target = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    delta = {k: (torch.randn(v.shape) * v.float().std().clamp(min=1e-3)).half() for k, v in target.items()}
    base = {name: (tensor.float() - delta[name].float()).half() for name, tensor in target.items()}
    classes = ("LLaMATokenizer", "PreTrainedTokenizerFast")
    for name, tensors, tokenizer_class in zip(names, (base, delta), classes, strict=True):
        folder = staging / "work" / name
        folder.mkdir(parents=True)
        write_repository(model, tokenizer, tensors, tokenizer_class, folder)
        publish(folder, staging, name)
    shutil.rmtree(staging / "work")


def main() -> None:
    """Forge beside, then rename: a half-made hub never carries its final name."""
    gguf, final = Path(sys.argv[1]), Path(sys.argv[2])
    if final.exists():
        return
    staging = final.with_name(final.name + ".part")
    shutil.rmtree(staging, ignore_errors=True)
    model, tokenizer = load_target(gguf)
    forge_pair(model, tokenizer, staging, ("llama-base", "vicuna-delta"))
    forge_pair(ungrouped(model), tokenizer, staging, ("llama-mha-base", "vicuna-mha-delta"))
    staging.rename(final)


if __name__ == "__main__":
    main()
