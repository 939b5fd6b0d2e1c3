"""Metrics of a made-up fleet of GPUs, as the exporters of its hosts say them: {host: {metric: [(labels, value)]}}."""

NOW = 1_800_000_000.0
GIB = 1024**3
MODEL = "vicuna-13b-v1.5"


def worker_host(host, gpus=8, free=0.6):
    """Return the metrics of a host with a worker for each GPU."""
    urls = [f"http://{host}:{21002 + number}" for number in range(gpus)]
    cards = [{"gpu": str(number)} for number in range(gpus)]
    areas = [{"area": area} for area in ("models", "runtime", "staging")]
    return {
        "fastchat_worker_planned": [
            ({"worker": url, "model": MODEL, "unit": f"worker@{number}"}, 1.0) for number, url in enumerate(urls)
        ],
        "fastchat_worker_queue_limit": [({"worker": url}, 5.0) for url in urls],
        "fastchat_probe_state": [({"worker": url, "state": "good"}, 1.0) for url in urls],
        "fastchat_probe_generation_seconds": [({"worker": url}, 0.09 + n / 100) for n, url in enumerate(urls)],
        "fastchat_probe_leaked_slots": [({"worker": url}, 0.0) for url in urls],
        "fastchat_gpu_planned": [(card, 1.0) for card in cards],
        "fastchat_gpu_up": [(card, 1.0) for card in cards],
        "fastchat_gpu_memory_used_bytes": [(card, (26 + n % 3) * GIB) for n, card in enumerate(cards)],
        "fastchat_gpu_memory_size_bytes": [(card, 32.0 * GIB) for card in cards],
        "fastchat_gpu_temperature_celsius": [(card, 51.0 + n) for n, card in enumerate(cards)],
        "fastchat_disk_free_bytes": [(area, free * 1800 * GIB) for area in areas],
        "fastchat_disk_size_bytes": [(area, 1800.0 * GIB) for area in areas],
        "fastchat_environment_info": [({"link": "env", "environment": "el7-v100-torch26-3f9a81c2", "stack": "x"}, 1.0)],
        "fastchat_release_info": [({"model": MODEL, "release": "9c0e4f7a1b22"}, 1.0)],
    }


def controller_host(workers):
    """Return the metrics of the controller's host, which knows workers (URLs)."""
    buckets = [("0.5", 40.0), ("1", 300.0), ("2", 400.0), ("+Inf", 410.0)]
    rates = [("10", 10.0), ("20", 80.0), ("30", 390.0), ("+Inf", 410.0)]
    return {
        "fastchat_controller_up": [({}, 1.0)],
        "fastchat_worker_state": [({"worker": url, "state": "serving"}, 1.0) for url in workers],
        "fastchat_worker_queue_length": [({"worker": url}, float(n % 4)) for n, url in enumerate(workers)],
        "fastchat_api_up": [({"api": "api@0"}, 1.0), ({"api": "api@1"}, 1.0)],
        "fastchat_api_requests_total": [
            ({"api": "api@0", "path": "/v1/chat/completions", "code": "200"}, 18231.0),
            ({"api": "api@1", "path": "/v1/chat/completions", "code": "503"}, 4.0),
        ],
        "fastchat_api_first_token_seconds_bucket": [({"api": "api@0", "le": le}, value) for le, value in buckets],
        "fastchat_api_answer_tokens_per_second_bucket": [({"api": "api@0", "le": le}, value) for le, value in rates],
        "fastchat_gateway_up": [({"gateway": "gw01"}, 1.0)],
        "fastchat_gateway_answer_seconds": [({"gateway": "gw01"}, 0.31)],
        "fastchat_gateway_certificate_expiry_timestamp_seconds": [({"gateway": "gw01"}, NOW + 201 * 86400)],
        "fastchat_disk_free_bytes": [({"area": "runtime"}, 60.0 * GIB)],
        "fastchat_disk_size_bytes": [({"area": "runtime"}, 100.0 * GIB)],
        "fastchat_environment_info": [({"link": "env", "environment": "cpu-77ab01de", "stack": "cpu"}, 1.0)],
    }


def well():
    """Return a fleet in which all is well: a controller, and two hosts with eight GPUs."""
    hosts = {name: worker_host(name) for name in ("gpu01", "gpu02")}
    urls = [labels["worker"] for host in hosts.values() for labels, _ in host["fastchat_worker_planned"]]
    return {"ctl01": controller_host(urls), **hosts}


def hurt():
    """Return the same fleet with one of each fault."""
    fleet = well()
    fleet["gpu03"] = None
    lost = {"gpu": "5"}
    gpu01, ctl01 = fleet["gpu01"], fleet["ctl01"]
    gpu01["fastchat_gpu_up"] = [(card, float(card != lost)) for card, _ in gpu01["fastchat_gpu_up"]]
    for name in ("memory_used_bytes", "memory_size_bytes", "temperature_celsius"):
        key = f"fastchat_gpu_{name}"
        gpu01[key] = [(card, value) for card, value in gpu01[key] if card != lost]
    gone, hung = "http://gpu01:21007", "http://gpu02:21003"
    states = [
        (labels, value) for labels, value in ctl01["fastchat_worker_state"] if labels["worker"] not in (gone, hung)
    ]
    ctl01["fastchat_worker_state"] = [*states, ({"worker": hung, "state": "hung"}, 1.0)]
    fleet["gpu02"].update(worker_host("gpu02", free=0.04))
    fleet["gpu02"]["fastchat_probe_leaked_slots"][6] = ({"worker": "http://gpu02:21008"}, 2.0)
    fleet["gpu02"]["fastchat_unit_outdated"] = [({"unit": "worker@4"}, 1.0)]
    ctl01["fastchat_api_up"][1] = ({"api": "api@1"}, 0.0)
    ctl01["fastchat_gateway_up"] = [({"gateway": "gw01"}, 0.0)]
    ctl01["fastchat_gateway_certificate_expiry_timestamp_seconds"] = [({"gateway": "gw01"}, NOW + 5 * 86400)]
    return fleet
