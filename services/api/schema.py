"""``GET /openapi.json`` of an API server: what ``parameters.py`` says, as OpenAPI 3.1, for programs that read that.

The gateway does not have this path: FastChat's own description names routes that are not served, and this one is for
operators and tests, which reach the fleet's ports.
"""

from .parameters import CHAT, COMPLETIONS, EMBEDDINGS, MODELS, REQUIRED, TABLE

OPENAPI = "/openapi.json"
ERRORS = {
    "400": "A value is wrong, or a parameter is not served here; `param` names it.",
    "401": "There is no such key (the gateway).",
    "404": "There is no such model, or nothing at this path.",
    "405": "This method is not for this path.",
    "413": "The body is too large.",
    "429": "This key asks too often (the gateway); `Retry-After` says when to ask again.",
    "500": "The worker reported an error.",
    "502": "No API server answers (the gateway); `Retry-After` says when to ask again.",
    "503": "No worker could be reached in time; `Retry-After` says when to ask again.",
    "504": "The answer did not come in time (the gateway).",
}
TEXT, COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
TEXT_OR_NULL = {"type": ["string", "null"]}


def made_of(required, **properties):
    """Return the schema of an object; what is not in ``required`` may be left out."""
    return {"type": "object", "required": required.split(), "properties": properties}


def list_of(items):
    """Return the schema of OpenAI's lists."""
    return {"type": "array", "items": items}


FINISH = {"enum": ["stop", "length"]}
USAGE = made_of("prompt_tokens completion_tokens total_tokens", prompt_tokens=COUNT, completion_tokens=COUNT,
                total_tokens=COUNT)  # fmt: skip
MODEL = made_of("id object created owned_by", id=TEXT, object={"enum": ["model"]}, created=COUNT, owned_by=TEXT)
MESSAGE = made_of("role content", role={"enum": ["assistant"]}, content=TEXT)
CHAT_CHOICE = made_of("index message finish_reason", index=COUNT, message=MESSAGE, finish_reason=FINISH)
TEXT_CHOICE = made_of("index text finish_reason logprobs", index=COUNT, text=TEXT, finish_reason=FINISH,
                      logprobs={"type": ["object", "null"]})  # fmt: skip
VECTOR = made_of(
    "object index embedding",
    object={"enum": ["embedding"]},
    index=COUNT,
    embedding={"anyOf": [list_of({"type": "number"}), TEXT]},
)


def answer(kind, choice):
    """Return the schema of a whole answer."""
    kinds = {"id": TEXT, "object": {"enum": [kind]}, "created": COUNT, "model": TEXT}
    return made_of("id object created model choices usage", **kinds, choices=list_of(choice), usage=USAGE)


ANSWERS = {
    CHAT: answer("chat.completion", CHAT_CHOICE),
    COMPLETIONS: answer("text_completion", TEXT_CHOICE),
    EMBEDDINGS: made_of("object data model usage", object={"enum": ["list"]}, data=list_of(VECTOR), model=TEXT,
                        usage=made_of("prompt_tokens total_tokens", prompt_tokens=COUNT, total_tokens=COUNT)),
    MODELS: made_of("object data", object={"enum": ["list"]}, data=list_of(MODEL)),
}  # fmt: skip
ERROR = made_of("error", error=made_of("message type param code", message=TEXT, type=TEXT, param=TEXT_OR_NULL,
                                       code=TEXT_OR_NULL))  # fmt: skip


def parameter(one, check):
    """Return the schema of a parameter; null stands for leaving it out."""
    wanted = check.schema if one.name in REQUIRED else {"anyOf": [check.schema, {"type": "null"}]}
    return {**wanted, "description": f"{one.what[0].upper()}{one.what[1:]}. {one.why}".strip()}


def together(path):
    """Return the schemas of what a path's parameters may not be together, as ``request.for_fastchat`` has it."""
    rules = []
    if path != EMBEDDINGS:
        streams = {"required": ["stream"], "properties": {"stream": {"enum": [True]}}}
        rules.append({"anyOf": [streams, {"properties": {"stream_options": {"type": "null"}}}]})
    if path == CHAT:
        either = [{"properties": {name: {"type": "null"}}} for name in ("max_tokens", "max_completion_tokens")]
        same = "Both limits may be there when they are the same, which JSON Schema can not say."
        rules.append({"anyOf": either, "description": same})
    if path == COMPLETIONS:
        whole = {"properties": {"stream": {"enum": [False, None]}}}
        alone = {"properties": {"logprobs": {"type": "null"}, "best_of": {"enum": [1, None]}}}
        rules.append({"anyOf": [whole, alone]})
    return rules


def body(path, wanted):
    """Return the schema of a path's body; ``wanted`` are its checks by parameter."""
    known = {one.name: parameter(one, wanted[one.name]) for one in TABLE[path]}
    rules = together(path)
    return {
        "type": "object",
        "required": [name for name in known if name in REQUIRED],
        "properties": known,
        "additionalProperties": False,
        **({"allOf": rules} if rules else {}),
    }


def responses(schema, streams):
    """Return the responses of a path whose answer has this schema."""
    kinds = {"application/json": {"schema": schema}}
    if streams:
        # OpenAPI 3.1 has no words for a stream: each event is a line "data: …" with JSON, and [DONE] is the last.
        kinds["text/event-stream"] = {}
    failed = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    return {
        "200": {"description": "The answer.", "content": kinds},
        **{status: {"description": said, **failed} for status, said in ERRORS.items()},
    }


def openapi(wanted):
    """Return the description of the API; ``wanted`` is {path: {parameter: its check}}, from ``parameters.checks``."""
    paths = {MODELS: {"get": {"responses": responses(ANSWERS[MODELS], False)}}}
    one = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    paths[f"{MODELS}/{{id}}"] = {"get": {"parameters": [one], "responses": responses(MODEL, False)}}
    for path in (CHAT, COMPLETIONS, EMBEDDINGS):
        content = {"application/json": {"schema": body(path, wanted[path])}}
        post = {
            "requestBody": {"required": True, "content": content},
            "responses": responses(ANSWERS[path], path != EMBEDDINGS),
        }
        paths[path] = {"post": post}
    return {
        "openapi": "3.1.0",
        "info": {"title": "OpenAI's API, as this fleet serves it", "version": "1"},
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
