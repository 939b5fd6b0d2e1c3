"""The units of API servers and the health checks of the web page, as role fastchat_service takes them."""

from typing import Any


def api_units(
    ports: list[int], host: str, controller: str, most_answers: int, again_seconds: int
) -> list[dict[str, Any]]:
    """Return the units of API servers, one for each port; ``controller`` is its base URL."""
    return [
        {
            "name": f"api@{index}",
            "description": f"FastChat OpenAI API server {index}",
            "command": [
                "-m",
                "services.api",
                f"--host={host}",
                f"--port={port}",
                f"--controller-address={controller}",
                f"--most-answers={most_answers}",
                f"--again-seconds={again_seconds}",
            ],
            "programs": ["services.api"],
            "gates": [{"url": f"http://{host}:{port}/fleet/alive", "method": "GET"}],
            "stop_seconds": 300,
        }
        for index, port in enumerate(ports)
    ]


def page_gates(models: list[str], url: str) -> list[dict[str, str]]:
    """Return the health checks of the web page at a base URL: the page is there, and it has each model."""
    there = {"url": f"{url}/", "method": "GET", "expect": "Chat with Open Large Language Models"}
    return [there, *({"url": f"{url}/fleet", "method": "GET", "expect": f'"{model}"'} for model in models)]
