# ruff: noqa: PLC0415  (gradio and FastChat are imported late: both read the environment, and take ten seconds)
"""FastChat's page, in whose module some names are bound to our functions."""

import argparse
import logging
import os

from .browser import without_elsewhere
from .controller import models_of, template_of


class Requests:
    """Replaces the module ``requests`` in FastChat's module, and adds ``top_k`` to the requests to workers."""

    def __init__(self, module):
        """Take the real module."""
        self.module = module
        self.exceptions = module.exceptions

    def post(self, url, json=None, **more):
        """Do what requests.post does. The API sends -1 too, and both workers take it for "all"."""
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
        web.logger.setLevel(logging.WARNING)  # lower levels would log questions and answers
    web.set_global_vars(controller, False)
    web.args = argparse.Namespace(model_list_mode="reload", register_api_endpoint_file=None, show_terms_of_use=False)


def page_of(web):
    """Return FastChat's page, which reads the list of models when a browser loads it."""
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
        # This lists the models as they were at the start, with links to other servers.
        if isinstance(block, gradio.Accordion) and "descriptions of" in (block.label or ""):
            block.visible = False
    return page
