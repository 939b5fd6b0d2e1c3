"""Every parameter of OpenAI's chat completions, completions, embeddings and models, and what the guard does with it.

This is data. ``docs/API.md`` has the same table, and a parameter that is not in it is refused by its name.
"""

from collections import namedtuple

from .checks import (
    BODY_LIMIT,
    boolean,
    integer,
    messages,
    number,
    one_of,
    only,
    shown,
    stops,
    stream_options,
    temperature,
    text,
    texts,
    unused,
)

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
MODELS = "/v1/models"
REQUIRED = {"model", "messages", "prompt", "input"}
MOST_TOKENS = 1048576
MOST_TEXTS = 2048  # of one request for embeddings, as at OpenAI
# Parameters that FastChat came to know after 0.2.15, with the values that change nothing.
LATER = {
    "top_k": (-1,),
    "presence_penalty": (0, 0.0),
    "frequency_penalty": (0, 0.0),
    "logprobs": (),
    "best_of": (1,),
    "use_beam_search": (False,),
}
TOO_OLD = "this version of FastChat does not hand it on to a worker"

# ``what`` is honoured, translated, ignored or refused; ``why`` is the last column in docs/API.md; a ``check`` of None
# depends on the most answers that a request may ask for.
Parameter = namedtuple("Parameter", "name what why check")


def honoured(name, check, why=""):
    """Return a parameter that reaches the worker as it is."""
    return Parameter(name, "honoured", why, check)


def translated(name, check, why):
    """Return a parameter that reaches the worker in another form."""
    return Parameter(name, "translated", why, check)


def ignored(name, check, why):
    """Return a parameter that changes no answer."""
    return Parameter(name, "ignored", why, unused(check))


def refused(name, why, *harmless):
    """Return a parameter that can not be served, with the values that ask for nothing."""
    values = ", ".join(f"`{shown(one)}`" for one in harmless)
    allowed = f" Allowed, since it asks for nothing: {values}." if harmless else ""
    return Parameter(name, "refused", f"{why[0].upper()}{why[1:]}.{allowed}", only(*harmless, why=why))


NO_TOOLS = "FastChat's workers call no tools"
NO_SEED = "workers draw from one source of chance for all requests"
NO_BIAS = "workers have no bias for tokens"
WORKER = "A worker of vLLM honours it; FastChat's own can not, and the request is refused then."
REST = "No answer is longer than the context leaves room for."
NOTHING_KEPT = "Nothing is kept here by it."

MODEL = honoured("model", text(256), "One of `GET /v1/models`; any other is a 404.")
USER = ignored("user", text(256, 0), NOTHING_KEPT)
SAMPLING = [
    translated("temperature", temperature, "From 0 to 2. Below 0.01 it becomes 0 or 0.01, whichever is nearer."),
    honoured("top_p", number(0, 1), "From 0 to 1."),
    honoured("top_k", integer(1, 1000, extra=(-1,)), "FastChat's own: from 1 to 1000, or -1 for all. From 0.2.36 on."),
    honoured("n", None, "From 1 to `fastchat_api_most_answers`."),
    honoured("stop", stops(16, 256), "A text, or a list of up to 16."),
    honoured("stream", boolean),
    translated("stream_options", stream_options, "`include_usage`, with `stream` only: a last chunk has the usage."),
    honoured("presence_penalty", number(-2, 2), f"From -2 to 2. {WORKER}"),
    honoured("frequency_penalty", number(-2, 2), f"From -2 to 2. {WORKER}"),
    refused("seed", NO_SEED),
    refused("logit_bias", NO_BIAS, {}),
    USER,
]

TABLE = {
    CHAT: [
        MODEL,
        translated(
            "messages",
            messages,
            "Roles system, developer (as system), user, assistant. System messages are joined in order and come first."
            " Parts of text are joined. An assistant's `content` may be null. Images, audio, names and tool calls are"
            " refused.",
        ),
        honoured("max_tokens", integer(1, MOST_TOKENS), f"{REST} Default: `fastchat_api_max_tokens`."),
        translated("max_completion_tokens", integer(1, MOST_TOKENS), "The same as `max_tokens`, by its newer name."),
        *SAMPLING,
        refused("tools", NO_TOOLS, []),
        refused("tool_choice", NO_TOOLS, "none", "auto"),
        refused("parallel_tool_calls", NO_TOOLS, True, False),
        refused("functions", NO_TOOLS, []),
        refused("function_call", NO_TOOLS, "none", "auto"),
        refused("response_format", "workers can not be held to a format", {"type": "text"}),
        refused("logprobs", "FastChat's chats have no probabilities", False),
        refused("top_logprobs", "FastChat's chats have no probabilities", 0),
        refused("modalities", "answers are text only", ["text"]),
        refused("audio", "answers are text only"),
        refused("prediction", "workers take no predicted answer"),
        refused("reasoning_effort", "these models do not reason apart from their answer", "none"),
        refused("verbosity", "these models know no verbosity", "medium"),
        refused("web_search_options", "nothing is searched here"),
        refused("store", "answers are not kept", False),
        refused("metadata", "answers are not kept", {}),
        refused("service_tier", "there is one tier", "auto", "default"),
        ignored("safety_identifier", text(256, 0), NOTHING_KEPT),
        ignored("prompt_cache_key", text(256, 0), NOTHING_KEPT),
        refused("prompt_cache_retention", "no prompt is kept"),
        refused("moderation", "nothing is moderated here"),
    ],
    COMPLETIONS: [
        MODEL,
        honoured("prompt", None, "A text, or a list of up to `fastchat_api_most_answers` texts; no tokens."),
        honoured("max_tokens", integer(1, MOST_TOKENS), f"{REST} Default: 16, as at OpenAI."),
        *SAMPLING,
        honoured("echo", boolean),
        honoured(
            "logprobs",
            integer(0, 1),
            "0 or 1: those of the tokens that were made, no others. Refused with `stream`, and by a worker of vLLM.",
        ),
        honoured("best_of", None, f"From 1 to `fastchat_api_most_answers`, not with `stream`. {WORKER}"),
        honoured("use_beam_search", boolean, f"FastChat's own. {WORKER}"),
        refused("suffix", "workers only go on at the end of a text", ""),
    ],
    EMBEDDINGS: [
        MODEL,
        translated(
            "input",
            texts(MOST_TEXTS, 8192),
            "A text or up to 2048, no tokens. Workers get up to 16 at a time, of long ones fewer.",
        ),
        translated("encoding_format", one_of("float", "base64"), "`float`, or `base64` (always of float32)."),
        refused("dimensions", "a model's embeddings have one length"),
        USER,
    ],
    MODELS: [],
}


def checks(answers, lacking=()):
    """Return {path: {parameter: its check}}; ``answers`` is the most that ``n`` may ask for.

    ``lacking`` are names of ``LATER`` that the installed FastChat does not know.
    """
    counted = {"n": integer(1, answers), "best_of": integer(1, answers), "prompt": texts(answers, BODY_LIMIT)}
    wanted = {}
    for path, known in TABLE.items():
        wanted[path] = {one.name: one.check or counted[one.name] for one in known}
        for one in known:
            if one.what == "honoured" and one.name in lacking:
                wanted[path][one.name] = only(*LATER[one.name], why=TOO_OLD)
    return wanted


def rows(path):
    """Return the rows of a path's table as docs/API.md has them."""
    return [f"| `{one.name}` | {one.what} | {one.why} |" for one in TABLE[path]]
