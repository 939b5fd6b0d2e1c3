"""The requests that workers and operators send to the controller over HTTP, and its answers."""

import json
import time

from .worker import DOWN, JOINING, LEAVING, Worker


def describe(fleet, url):
    """Return what GET /fleet says of one worker."""
    worker = fleet.workers.get(url)
    if worker is None:
        return {"state": "unknown", "models": [], "queue_length": 0, "since": 0, "why": "it never registered"}
    said = {name: getattr(worker, name) for name in ("state", "models", "queue_length", "why")}
    return {**said, "since": int(time.monotonic() - worker.since)}


def register(fleet, data):
    """Register a worker's new process, and forget what was known about the previous one."""
    url, status = data["worker_name"], data.get("worker_status") or {}
    if url in fleet.workers:
        fleet.become(url, DOWN, "replaced")
    fleet.workers[url] = Worker(models=status.get("model_names", []), multimodal=data.get("multimodal", False))
    print(f"{url}: registers for {', '.join(fleet.workers[url].models)}", flush=True)
    fleet.write()


def ask(fleet, path, data):
    """Return the answer for a path of ours, None for any other; a malformed body raises KeyError or TypeError."""
    if path == "/refresh_all_workers":
        return {}
    if path == "/register_worker":
        register(fleet, data)
        return {}
    if path == "/receive_heart_beat":
        return {"exist": data["worker_name"] in fleet.workers}
    if path == "/fleet":
        return {"workers": {url: describe(fleet, url) for url in sorted(fleet.workers)}, "started": fleet.started}
    what = path[len("/fleet/") :]
    if what not in ("state", "leave", "join", "forget"):
        return None
    url = data["worker"]
    if url in fleet.workers and what == "leave":
        fleet.become(url, DOWN if data.get("gone") else LEAVING, str(data.get("why", "")) or "asked to")
    elif url in fleet.workers and what == "join":
        fleet.become(url, JOINING)
    elif url in fleet.workers and what == "forget":
        fleet.become(url, DOWN)
        del fleet.workers[url]
        fleet.write()
    return describe(fleet, url)


async def body_of(receive):
    """Return the whole body of a request."""
    whole, more = b"", True
    while more:
        message = await receive()
        whole, more = whole + message.get("body", b""), message.get("more_body", False)
    return whole


async def answer(send, code, value):
    """Send one JSON answer, as compact as FastChat's own: a health check looks for "state":"serving"."""
    await send({"type": "http.response.start", "status": code, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(value, separators=(",", ":")).encode()})


def application(fleet, inner):
    """Return the ASGI application that answers our own paths and hands all others to FastChat's ``inner``."""
    ours = ("/fleet", "/register_worker", "/receive_heart_beat", "/refresh_all_workers")

    async def answered(scope, receive, send):
        if scope["type"] != "http" or not scope["path"].startswith(ours):
            return await inner(scope, receive, send)
        try:
            body = await body_of(receive)
            said = ask(fleet, scope["path"], json.loads(body) if body else {})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return await answer(send, 400, {"error": f"{scope['path']} does not take this: {error!r}"})
        if said is None:
            return await answer(send, 404, {"error": f"{scope['path']} is not known here"})
        return await answer(send, 200, said)

    return answered
