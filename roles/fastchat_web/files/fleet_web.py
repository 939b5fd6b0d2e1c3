# ruff: noqa: PLC0415  (gradio and FastChat are imported late: both read the environment, and take ten seconds)
"""FastChat's own web page (``fastchat.serve.gradio_web_server``), with what a fleet needs around it.

FastChat is not patched: its module is imported, and some of the names that it looks up are bound to ours, because

- it takes the prompt template from the model's *name*, where the API asks the worker: a model that is served under
  another name is then asked in words that it does not know;
- it sends no ``top_k``, which vLLM's worker wants;
- it asks ``localhost:9090`` before each answer whether somebody talks too much: on EL 8 and 9 Cockpit listens there;
- it writes every conversation to a file, readable to whom the umask lets, and to its log;
- with "gpt-4", "bard" or "claude" in a model's name it sends what people write to OpenAI;
- gradio's page names Google's and Cloudflare's servers, and has routes for files that this page does not need.

``GET /fleet`` says which models the controller has now.
"""

import argparse
import json
import logging
import os
import re
import sys
import urllib.request
import warnings

# What a browser may load for this page: from its own server only, also where an answer names a picture elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'"
)
ELSEWHERE = re.compile(r"<(?:link|script)\b[^>]*=\"https?://[^>]*>(?:\s*</script>)?")
# Uploads, files of the host, requests on behalf of others: nothing of it belongs to a chat.
CLOSED = re.compile(
    r"/(?:gradio_api/)?(?:upload|upload_progress|file|proxy|stream|deep_link|component_server)(?:[/=]|$)"
)
SECONDS = 10


def asked(url, **body):
    """Return the answer of a controller or worker to a POST; raises OSError."""
    head = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), head, method="POST")
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.load(answer)


def models_of(controller):
    """Return the sorted names of the models that a controller has; raises OSError."""
    return sorted(set(asked(controller + "/list_models")["models"]))


def template_of(controller, model):
    """Return the fields of the template that a worker of this model has, as the API asks for them; {} without a worker.

    Raises OSError.
    """
    worker = asked(controller + "/get_worker_address", model=model)["address"]
    return asked(worker + "/worker_get_conv_template", model=model)["conv"] if worker else {}


class Door:
    """ASGI: lets through what a chat needs, and tells browsers to load nothing from elsewhere."""

    def __init__(self, app):
        """Stand before an ASGI application."""
        self.app = app

    async def __call__(self, scope, receive, send):
        """Answer 404 on what is closed; else hand on, with the policy in the answer's head."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_policy(message):
            if message["type"] == "http.response.start":
                head = [*message.get("headers", []), (b"content-security-policy", POLICY.encode())]
                message = {**message, "headers": [*head, (b"referrer-policy", b"same-origin")]}
            await send(message)

        if CLOSED.search(scope["path"]):
            await with_policy({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.app(scope, receive, with_policy)


class Requests:
    """Stands for the module ``requests`` in FastChat's: what is asked of a worker says ``top_k`` too."""

    def __init__(self, module):
        """Take the real module."""
        self.module = module
        self.exceptions = module.exceptions

    def post(self, url, json=None, **more):
        """Do as requests.post; -1 is what the API sends, and what both workers take for "all"."""
        if url.endswith("/worker_generate_stream"):
            json = {"top_k": -1, **json}
        return self.module.post(url, json=json, **more)


def fit(web, controller, conversations):
    """Bind the names that FastChat's module looks up; ``conversations`` is a directory, '' to keep none."""
    import gradio
    from fastchat.conversation import Conversation, SeparatorStyle

    def models(*_ignored):
        try:
            found = models_of(controller)
        except OSError as error:
            web.logger.warning("the controller at %s does not answer: %s", controller, error)
            raise gradio.Error("The fleet's controller does not answer: reload this page in a minute.") from error
        return found, found

    def template(model):
        try:
            found = template_of(controller, model)
        except OSError as error:
            web.logger.warning("no template of %s: %s", model, error)
            found = {}
        if not found:
            raise gradio.Error(
                f"No worker serves {model or 'a model'} now: ask again in a minute, or reload this page."
            )
        messages = [list(message) for message in found["messages"]]
        return Conversation(**{**found, "messages": messages, "sep_style": SeparatorStyle(found["sep_style"])})

    web.requests = Requests(web.requests)
    web.get_model_list = models
    web.get_conversation_template = template
    web.is_limit_reached = lambda _model, _address: None
    web.moderation_filter = lambda _text, _models: False
    if conversations:
        os.makedirs(conversations, mode=0o700, exist_ok=True)
        web.LOGDIR = conversations
    else:
        web.get_conv_log_filename = lambda: os.devnull
        web.logger.setLevel(logging.WARNING)  # below it are questions and answers
    web.set_global_vars(controller, False)
    web.args = argparse.Namespace(model_list_mode="reload", register_api_endpoint_file=None, show_terms_of_use=False)


def without_elsewhere(page):
    """Return a page's template without the tags that name other servers."""
    return ELSEWHERE.sub("", page)


def page_of(web):
    """Return FastChat's page; what it says of models it reads when it is loaded."""
    import gradio
    import jinja2
    from gradio import routes

    loader = routes.templates.env.loader
    routes.templates.env.loader = jinja2.FunctionLoader(
        lambda name: without_elsewhere(loader.get_source(routes.templates.env, name)[0])
    )
    page = web.build_demo([])
    page.stylesheets = []  # the theme's font, from Google
    for block in page.blocks.values():
        # A list of the models as they were at the start, described by links.
        if isinstance(block, gradio.Accordion) and "descriptions of" in (block.label or ""):
            block.visible = False
    return page


def main():
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description="FastChat's web page for a fleet.")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--controller-url", required=True)
    parser.add_argument("--concurrency-count", type=int, default=10)
    parser.add_argument("--gradio-root-path", default="")
    parser.add_argument("--conversations", default="", help="a directory; without it no conversation is kept")
    options = parser.parse_args()
    controller = options.controller_url.rstrip("/")
    os.umask(0o077)
    warnings.simplefilter("ignore")  # what gradio 6 will do otherwise is of no use in the journal
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
    page.launch(
        server_name=options.host,
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
        app_kwargs={"middleware": [Middleware(Door)], "routes": [Route("/fleet", fleet)]},
    )
    sys.__stderr__.write(f"the page is at http://{options.host}:{options.port}\n")
    page.block_thread()


if __name__ == "__main__":
    main()
