"""Which parameters a request may have, and which values: one check for each, which returns the value or refuses it."""

import json
import re

from .errors import Refused

MESSAGE_ROLES = ("system", "user", "assistant")
# Below, logits divided by it leave fp16's range: on a GPU sampling then fails an assertion, which costs the process.
COLDEST = 0.01
BODY_LIMIT = 524288  # bytes of a body, and characters of a text in it
MOST_MESSAGES = 1000
MOST_SHOWN = 40  # characters of a value, digits of a number
REQUIRED = {"model", "messages", "prompt", "input"}


def shown(value):
    """Return a value as a message may quote it: short, and never a whole prompt."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "nested too deeply"
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."


def number(lowest, highest, extra=()):
    """Return a check for a number between two bounds, or one of some others."""

    def check(name, value):
        right = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not right or not (lowest <= value <= highest or value in extra):
            also = "".join(f"{one} or " for one in extra)
            raise Refused(f"{name} is {shown(value)}, wanted {also}a number from {lowest} to {highest}.")
        return value

    return check


def integer(lowest, highest, extra=()):
    """Return a check for an integer, as ``number``."""

    def check(name, value):
        if not isinstance(value, int):
            raise Refused(f"{name} is {shown(value)}, wanted an integer.")
        return number(lowest, highest, extra)(name, value)

    return check


def boolean(name, value):
    """Return a boolean or refuse."""
    if not isinstance(value, bool):
        raise Refused(f"{name} is {shown(value)}, wanted true or false.")
    return value


def text(longest, shortest=1):
    """Return a check for text of some length that can be written as UTF-8."""

    def check(name, value):
        if not isinstance(value, str):
            raise Refused(f"{name} is {shown(value)}, wanted text.")
        if not shortest <= len(value) <= longest:
            raise Refused(f"{name} has {len(value)} characters, wanted {shortest} to {longest}.")
        if re.search("[\ud800-\udfff]", value):
            raise Refused(f"{name} has half of a surrogate pair, which is no character.")
        return value

    return check


def one_of(*wanted):
    """Return a check for one of some words."""

    def check(name, value):
        if value not in wanted:
            raise Refused(f"{name} is {shown(value)}, wanted one of: {', '.join(wanted)}.")
        return value

    return check


def texts(most, longest):
    """Return a check for text, or a list of it."""

    def check(name, value):
        if not isinstance(value, list):
            return text(longest)(name, value)
        if not 1 <= len(value) <= most:
            raise Refused(f"{name} has {len(value)} entries, wanted 1 to {most}.")
        if all(isinstance(entry, (int, list)) for entry in value):
            # FastChat would ask the internet for OpenAI's tokenizer, whose numbers are not the model's.
            raise Refused(f"{name} is given in tokens, wanted text.")
        return [text(longest)(f"{name}[{at}]", entry) for at, entry in enumerate(value)]

    return check


def content(name, value):
    """Return a message's content as text: parts are joined as FastChat does, what is not text is refused."""
    if not isinstance(value, list):
        return text(BODY_LIMIT, 0)(name, value)
    if not value:
        raise Refused(f"{name} is an empty list, wanted text.")
    pieces = []
    for at, part in enumerate(value):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text":
            # Workers open an image's address themselves, be it a file of theirs or a neighbour's URL (FastChat #3873).
            raise Refused(f"{name}[{at}] is of type {shown(kind)}, wanted text: nothing else is served here.")
        pieces.append(text(BODY_LIMIT, 0)(f"{name}[{at}].text", part.get("text")))
    return "\n".join(pieces)


def messages(name, value):
    """Return a chat's messages with role and text only."""
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_MESSAGES:
        raise Refused(f"{name} is {shown(value)}, wanted a list of 1 to {MOST_MESSAGES} messages.")
    found = []
    for at, message in enumerate(value):
        if not isinstance(message, dict):
            raise Refused(f"{name}[{at}] is {shown(message)}, wanted an object with role and content.")
        role = one_of(*MESSAGE_ROLES)(f"{name}[{at}].role", message.get("role"))
        found.append({"role": role, "content": content(f"{name}[{at}].content", message.get("content"))})
    return found


def checks(answers):
    """Return {path: {parameter: its check}}; ``answers`` is the most that ``n`` may ask for."""
    sampling = {
        "temperature": number(COLDEST, 2, extra=(0,)),
        "top_p": number(0, 1),
        "top_k": integer(1, 1000, extra=(-1,)),
        "n": integer(1, answers),
        "max_tokens": integer(1, 1048576),
        "stop": texts(16, 256),
        "stream": boolean,
        "presence_penalty": number(-2, 2),
        "frequency_penalty": number(-2, 2),
    }
    completions = {
        "prompt": texts(answers, BODY_LIMIT),
        "echo": boolean,
        "logprobs": integer(0, 5),
        "best_of": integer(1, answers),
        "use_beam_search": boolean,
    }
    model = {"model": text(256)}
    return {
        "/v1/chat/completions": {**model, "messages": messages, **sampling},
        "/v1/completions": {**model, **completions, **sampling},
        # A worker does nothing else while it embeds.
        "/v1/embeddings": {**model, "input": texts(16, 8192), "encoding_format": one_of("float", "base64")},
    }
