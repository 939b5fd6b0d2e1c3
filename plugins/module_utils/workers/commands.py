"""The command line of a worker, with the options that its version of FastChat has."""

from __future__ import annotations

from ..fleet.addresses import authority
from .vllm import vllm_command


def at_least(version: str, wanted: tuple[int, ...]) -> bool:
    """Return whether a version of FastChat is not older than another."""
    return tuple(int(part) for part in version.split(".")) >= wanted


def url_of(instance: dict, address: str) -> str:
    """Return the URL under which controller and API reach an instance."""
    return f"http://{authority(address, instance['port'])}"


def worker_command(instance: dict, template: str, settings: dict) -> list[str]:
    """Return the python arguments that run an instance with the options that this version of FastChat has."""
    fschat = settings["fschat"]
    # Before 0.2.21 the model's path chooses the template, and the health check says whether it is that one.
    new = at_least(fschat, (0, 2, 21))
    common = {
        "host": settings["host"],
        "port": instance["port"],
        "worker-address": url_of(instance, settings["address"]),
        "controller-address": settings["controller"],
        "model-path": f"/srv/fastchat/models/{instance['model']}/current",
        "model-names": instance["model"],
        "limit-worker-concurrency" if new else "limit-model-concurrency": settings["concurrency"],
        "conv-template": template if new else "",
    }
    if settings["backend"] == "vllm":
        cards = [settings["cards"][index]["memory_mb"] or 0 for index in instance["gpus"]]
        return vllm_command(common, instance, min(cards, default=0))
    options = {
        **common,
        "device": instance["device"],
        "num-gpus": max(instance["num_gpus"], 1),
        "max-gpu-memory": instance["max_gpu_memory"],
        "dtype": instance["dtype"] if at_least(fschat, (0, 2, 29)) else "",
    }
    said = [f"--{name}={value}" for name, value in options.items() if value != ""]
    return ["-m", "fastchat.serve.model_worker", *said, *(["--load-8bit"] if instance["load_8bit"] else [])]
