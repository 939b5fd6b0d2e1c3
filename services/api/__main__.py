"""Run the API server: ``python -m services.api``."""

import argparse
import asyncio

import uvicorn

import services.api

from .connections import watch_connections
from .dispatch import Guard
from .fastchat_app import fastchat

AGAIN_SECONDS = 10.0


async def serve(guard, **options):
    """Serve until a signal ends it."""
    watch_connections(asyncio.get_running_loop())
    await uvicorn.Server(uvicorn.Config(guard, **options)).serve()


def of_model(text):
    """Return (model, number) of ``model=number``; the model "default" stands for all that are not named."""
    model, _, tokens = text.rpartition("=")
    return model, int(tokens)


def main():
    """Serve until told to stop; running answers are finished first."""
    parser = argparse.ArgumentParser(prog="services.api", description=services.api.__doc__.splitlines()[0])
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--controller-address", required=True)
    parser.add_argument("--most-answers", type=int, default=4, help="the most that n may ask for")
    parser.add_argument("--again-seconds", type=float, default=AGAIN_SECONDS)
    tokens = "the most tokens of an answer whose chat sets none (MODEL=0: what the context leaves), again and again"
    parser.add_argument("--max-tokens", type=of_model, action="append", default=[], metavar="MODEL=N", help=tokens)
    parser.add_argument("--answer-seconds", type=float, default=0, help="the most seconds of an answer (0: no limit)")
    settings = parser.parse_args()
    settings.max_tokens = dict(settings.max_tokens)
    app, lacking = fastchat(settings.controller_address)
    guard = Guard(app, settings, lacking)
    # The access log is the guard's own: uvicorn's has the query, and clients put keys there.
    options = {"access_log": False, "log_level": "warning", "server_header": False}
    asyncio.run(serve(guard, host=settings.host, port=settings.port, **options))


if __name__ == "__main__":
    main()
