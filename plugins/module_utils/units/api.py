"""The units of API servers and the health checks of the web page, as role fastchat_service takes them."""

from typing import Any

from ..fleet.addresses import authority


def api_units(ports: list[int], host: str, controller: str, limits: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the units of API servers, one for each port; ``controller`` is its base URL.

    ``limits`` has most_answers, again_seconds, answer_seconds, and max_tokens ({model or "default": number}).
    """
    max_tokens = [f"--max-tokens={model}={tokens}" for model, tokens in sorted(limits["max_tokens"].items())]
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
                f"--most-answers={limits['most_answers']}",
                f"--again-seconds={limits['again_seconds']}",
                f"--answer-seconds={limits['answer_seconds']}",
                *max_tokens,
            ],
            "programs": ["services.api"],
            "gates": [{"url": f"http://{authority(host, port)}/fleet/alive", "method": "GET"}],
            "stop_seconds": 300,
        }
        for index, port in enumerate(ports)
    ]


def page_gates(models: list[str], url: str) -> list[dict[str, str]]:
    """Return the health checks of the web page at a base URL: the page is there, and it has each model."""
    there = {"url": f"{url}/", "method": "GET", "expect": "Chat with Open Large Language Models"}
    return [there, *({"url": f"{url}/fleet", "method": "GET", "expect": f'"{model}"'} for model in models)]
