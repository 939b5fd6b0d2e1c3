"""Filters of fastchat_worker: from planned instances to the units that run them, and to what the probe asks."""

from ansible_collections.fastchat.fleet.plugins.filter.backends import vllm_command


def at_least(version: str, wanted: tuple[int, ...]) -> bool:
    """Return whether a version of FastChat is not older than another."""
    return tuple(int(part) for part in version.split(".")) >= wanted


def url_of(instance: dict, address: str) -> str:
    """Return the URL under which controller and API reach an instance."""
    return f"http://{address}:{instance['port']}"


def worker_command(instance: dict, template: str, settings: dict) -> list[str]:
    """Return the python arguments that run an instance with the options that this version of FastChat has."""
    fschat = settings["fschat"]
    # Before 0.2.21 the model's path chooses the template, and the gate says whether it is that one.
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


def worker_units(instances: list[dict], models: dict[str, dict], settings: dict) -> list[dict]:
    """Return the units of planned instances, as role fastchat_service takes them.

    ``models`` are descriptions by name; ``settings`` has fschat (version), host (to bind), address (to be reached
    under), controller (URL), concurrency, heartbeat and drain (seconds), leave (the programs that take it
    out of dispatch), backend (transformers or vllm) and cards (what gpu_facts says of the GPUs).
    """
    found, controller = [], settings["controller"]
    for one in instances:
        url, here = url_of(one, settings["address"]), f"http://{settings['host']}:{one['port']}"
        template = models[one["model"]]["conv_template"]
        leave = ["-m", "services.worker.leave", f"--controller={controller}", f"--worker={url}"]
        environment = {"FASTCHAT_WORKER_HEART_BEAT_INTERVAL": settings["heartbeat"]}
        if one["gpus"]:
            visible = ",".join(map(str, one["gpus"]))
            environment |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": visible}
        unit = {
            "name": f"worker@{one['index']}",
            "description": f"FastChat worker {one['index']} ({one['model']})",
            "command": worker_command(one, template, settings),
            "environment": environment,
            "follows": [f"/srv/fastchat/models/{one['model']}/current"],
            "programs": settings["leave"],
            "wait_for": controller,
            "memory_limit": one["memory_limit"],
            "gpu": one["device"] != "cpu",
            "cpus": one["cpus"],
            "stop": [*leave, f"--drain={settings['drain']}"],
            "stopped": [*leave, "--gone"],
            "stop_seconds": int(settings["drain"]) + 30,
            "gates": [
                {"url": f"{here}/worker_get_status", "method": "POST"},
                {"url": f"{here}/worker_get_conv_template", "method": "POST", "expect": f'"name":"{template}"'},
                # Listed is who generated a token.
                {
                    "url": f"{controller}/fleet/state",
                    "method": "POST",
                    "body": {"worker": url},
                    "expect": '"state":"serving"',
                },
            ],
        }
        found.append(unit)
    return found


def workers_asked(instances: list[dict], settings: dict) -> dict:
    """Return what the probe of a host reads: {workers: {unit: url, port, model, gpus, concurrency}}."""
    asked = {
        f"fastchat-worker@{one['index']}": {
            "url": url_of(one, settings["address"]),
            "port": one["port"],
            "model": one["model"],
            "gpus": one["gpus"],
            "concurrency": int(settings["concurrency"]),
        }
        for one in instances
    }
    return {"workers": asked}


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"worker_units": worker_units, "workers_asked": workers_asked}
