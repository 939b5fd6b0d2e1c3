# ruff: noqa: PLC0415  (gradio and FastChat are imported late: both read the environment, and take ten seconds)
"""Run the web page: ``python -m services.web``."""

import argparse
import os
import sys
import warnings

from .browser import OnlyChat
from .controller import models_of
from .page import fit, page_of


def main():
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="services.web", description="FastChat's web page for a fleet.")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--controller-url", required=True)
    parser.add_argument("--concurrency-count", type=int, default=10)
    parser.add_argument("--gradio-root-path", default="")
    parser.add_argument("--conversations", default="", help="a directory; without it no conversation is kept")
    options = parser.parse_args()
    controller = options.controller_url.rstrip("/")
    os.umask(0o077)
    warnings.simplefilter("ignore")  # warnings about gradio 6 are of no use in the journal
    os.environ.update(LOGDIR="", GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1")

    from fastchat.serve import gradio_web_server as web
    from starlette.middleware import Middleware
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    def fleet(_request):
        try:
            return JSONResponse({"models": models_of(controller)})
        except OSError as error:
            return JSONResponse({"models": [], "why": str(error)}, status_code=503)

    fit(web, controller, options.conversations)
    page = page_of(web).queue(
        default_concurrency_limit=options.concurrency_count, status_update_rate=10, api_open=False
    )
    host = f"[{options.host}]" if ":" in options.host else options.host  # gradio makes a URL of it
    page.launch(
        server_name=host,
        server_port=options.port,
        root_path=options.gradio_root_path or None,
        max_threads=200,
        share=False,
        show_api=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        max_file_size=1,
        prevent_thread_lock=True,
        quiet=True,
        app_kwargs={"middleware": [Middleware(OnlyChat)], "routes": [Route("/fleet", fleet)]},
    )
    sys.__stderr__.write(f"the page is at http://{host}:{options.port}\n")
    page.block_thread()


if __name__ == "__main__":
    main()
