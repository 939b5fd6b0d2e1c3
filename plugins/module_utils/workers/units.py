"""The units that run planned workers, and the plan that their host's probe reads."""

from __future__ import annotations

from .commands import url_of, worker_command


def worker_units(instances: list[dict], models: dict[str, dict], settings: dict) -> list[dict]:
    """Return the units of planned instances, as role fastchat_service takes them.

    ``models`` are descriptions by name; ``settings`` has fschat (version), host (to bind), address (to be reached
    under), controller (URL), concurrency, heartbeat and drain (seconds), leave (the programs that take it
    out of dispatch), backend (transformers or vllm) and cards (what gpu_facts says of the GPUs).
    """
    found, controller = [], settings["controller"]
    for one in instances:
        url, here = url_of(one, settings["address"]), url_of(one, settings["host"])
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
                # The controller lists a worker once it has generated a token.
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
    """Return the plan that a host's probe reads: {workers: {unit: url, port, model, gpus, concurrency}}."""
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
