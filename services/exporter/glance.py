"""What the page ``/status`` shows, computed from the metrics of the hosts: plain data from plain data."""

import time

DAY = 86400
FEW_DAYS, LITTLE = 14, 0.1  # as the limits of the alerts


def by(rows, label):
    """Return {value of a label: the value of its row}."""
    return {labels[label]: value for labels, value in rows}


def states(rows, label):
    """Return {value of a label: state} of a set of states."""
    return {labels[label]: labels["state"] for labels, value in rows if value == 1}


def quantile(buckets, share):
    """Return the bound below which a share of the values of a histogram lies; None without values.

    ``buckets`` are rows of NAME_bucket, of several processes, whose counts are cumulative.
    """
    counts = {}
    for labels, value in buckets:
        bound = float(labels["le"])
        counts[bound] = counts.get(bound, 0) + value
    if not counts or not max(counts.values()):
        return None
    wanted = share * counts[float("inf")]
    return next(bound for bound in sorted(counts) if counts[bound] >= wanted)


def workers_of(host, seen, fleet):
    """Return [worker] of one host: what its plan expects, with what the controller and the probe say."""
    registry = states(fleet.get("fastchat_worker_state", []), "worker")
    queues = by(fleet.get("fastchat_worker_queue_length", []), "worker")
    limits = by(seen.get("fastchat_worker_queue_limit", []), "worker")
    probed = states(seen.get("fastchat_probe_state", []), "worker")
    took = by(seen.get("fastchat_probe_generation_seconds", []), "worker")
    leaked = by(seen.get("fastchat_probe_leaked_slots", []), "worker")
    found = []
    for labels, _one in seen.get("fastchat_worker_planned", []):
        url = labels["worker"]
        state, probe = registry.get(url, "not registered"), probed.get(url, "")
        faults = [f"{labels['unit']} on {host} is {state}."] if state != "serving" else []
        faults += [f"The probe finds {labels['unit']} on {host} {probe}."] if probe in ("failing", "left out") else []
        faults += [f"{labels['unit']} on {host} has lost {leaked[url]:.0f} slots."] if leaked.get(url) else []
        word = state if state != "serving" or not faults else "loses slots" if leaked.get(url) else probe
        found.append(
            {
                "unit": labels["unit"],
                "host": host,
                "model": labels["model"],
                "state": state,
                "word": word,
                "queue": queues.get(url, 0),
                "limit": limits.get(url, 0),
                "seconds": took.get(url),
                "faults": faults,
            }
        )
    return found


def gpus_of(seen):
    """Return [GPU] of one host, those that a worker should use and that do not answer among them."""
    up = by(seen.get("fastchat_gpu_up", []), "gpu")
    used, size, heat = (
        by(seen.get("fastchat_gpu_" + name, []), "gpu")
        for name in ("memory_used_bytes", "memory_size_bytes", "temperature_celsius")
    )
    planned = by(seen.get("fastchat_gpu_planned", []), "gpu")
    return [
        {
            "gpu": gpu,
            "up": up.get(gpu) == 1,
            "used": used.get(gpu, 0) / size[gpu] if size.get(gpu) else None,
            "heat": heat.get(gpu),
        }
        for gpu in sorted({*up, *planned}, key=int)
    ]


def disks_of(free, size):
    """Return [{area, free, share}] of disks; areas that are on one disk are named together."""
    areas = {}
    for area in sorted(size):
        areas.setdefault((free[area], size[area]), []).append(area)
    return [{"area": ", ".join(named), "free": left, "share": left / whole} for (left, whole), named in areas.items()]


def host_of(host, seen, fleet):
    """Return what there is to say of one host; ``seen`` is None when its exporter does not answer."""
    if seen is None:
        fault = f"{host} gives no metrics."
        return {"host": host, "workers": [], "gpus": [], "disks": [], "stacks": [], "releases": [], "faults": [fault]}
    workers, gpus = workers_of(host, seen, fleet), gpus_of(seen)
    free, size = (by(seen.get(f"fastchat_disk_{name}_bytes", []), "area") for name in ("free", "size"))
    disks = disks_of(free, size)
    stale = [labels["unit"] for labels, value in seen.get("fastchat_unit_outdated", []) if value]
    faults = [fault for worker in workers for fault in worker["faults"]]
    faults += [f"GPU {gpu['gpu']} of {host} does not answer." for gpu in gpus if not gpu["up"]]
    faults += [f"The disk of {d['area']} on {host} is nearly full." for d in disks if d["share"] < LITTLE]
    faults += [f"{unit} on {host} runs with something else than is written for it." for unit in stale]
    return {
        "host": host,
        "workers": workers,
        "gpus": gpus,
        "disks": disks,
        "stacks": [
            labels["environment"] for labels, _ in seen.get("fastchat_environment_info", []) if labels["link"] == "env"
        ],
        "releases": [f"{labels['model']} {labels['release']}" for labels, _ in seen.get("fastchat_release_info", [])],
        "faults": faults,
    }


def gateways_of(fleet, now):
    """Return [gateway] with up, seconds, days and faults."""
    took = by(fleet.get("fastchat_gateway_answer_seconds", []), "gateway")
    ends = by(fleet.get("fastchat_gateway_certificate_expiry_timestamp_seconds", []), "gateway")
    found = []
    for name, up in sorted(by(fleet.get("fastchat_gateway_up", []), "gateway").items()):
        days = (ends[name] - now) / DAY if name in ends else None
        faults = [] if up else [f"The gateway {name} does not answer a question."]
        if days is not None and days < FEW_DAYS:
            faults.append(f"The certificate of {name} ends in {days:.0f} days.")
        found.append({"name": name, "up": bool(up), "seconds": took.get(name), "days": days, "faults": faults})
    return found


def glance(here, seen, now=None):
    """Return everything that the page shows.

    ``here`` is the name of the controller's host; ``seen`` is {host: {metric: [(labels, value)]}}, with None for a host
    that does not answer.
    """
    fleet = seen[here] or {}
    hosts = [host_of(name, one, fleet) for name, one in sorted(seen.items())]
    gateways = gateways_of(fleet, time.time() if now is None else now)
    workers = [worker for host in hosts for worker in host["workers"]]
    codes = {}
    for labels, value in fleet.get("fastchat_api_requests_total", []):
        codes[labels["code"]] = codes.get(labels["code"], 0) + value
    faults = [fault for part in (*gateways, *hosts) for fault in part["faults"]]
    if any(not up for _labels, up in fleet.get("fastchat_controller_up", [])):
        faults.insert(0, "The controller does not answer.")
    faults += [f"{labels['api']} does not answer." for labels, up in fleet.get("fastchat_api_up", []) if not up]
    return {
        "workers": workers,
        "serving": sum(worker["state"] == "serving" for worker in workers),
        "hosts": hosts,
        "gateways": gateways,
        "faults": faults,
        "queue": sum(worker["queue"] for worker in workers),
        "limit": sum(worker["limit"] for worker in workers),
        "requests": sum(codes.values()),
        "failed": sum(value for code, value in codes.items() if code.startswith("5")),
        "first": quantile(fleet.get("fastchat_api_first_token_seconds_bucket", []), 0.5),
        "rate": quantile(fleet.get("fastchat_api_answer_tokens_per_second_bucket", []), 0.5),
    }
