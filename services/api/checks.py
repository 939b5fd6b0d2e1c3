"""Which values a parameter may have: each check returns the value that FastChat shall get, or refuses it.

``check.schema`` says the same as JSON Schema, for ``schema.py`` beside it.
"""

import json
import re

from .errors import Refused

MESSAGE_ROLES = ("system", "developer", "user", "assistant")
# Below, logits divided by it leave fp16's range: on a GPU sampling then fails an assertion, which costs the process.
COLDEST = 0.01
EMPTY = (None, "", [], {})
BODY_LIMIT = 524288  # bytes of a body, and characters of a text in it
MOST_MESSAGES = 1000
MOST_SHOWN = 40  # characters of a value, digits of a number
NOTHING_ELSE = {"enum": list(EMPTY)}


def says(schema):
    """Return a decorator of a check: which values it takes, as JSON Schema."""

    def described(check):
        check.schema = schema
        return check

    return described


def either(*schemas):
    """Return the JSON Schema of what one of some schemas takes; None stands for one that is not there."""
    there = [one for one in schemas if one]
    return there[0] if len(there) == 1 else {"anyOf": there}


def shown(value):
    """Return a value as a message may quote it: short, and never a whole prompt."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "nested too deeply"
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."


def number(lowest, highest, extra=()):
    """Return a check for a number between two bounds, or one of some others."""

    @says(either({"type": "number", "minimum": lowest, "maximum": highest}, extra and {"enum": list(extra)}))
    def check(name, value):
        right = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not right or not (lowest <= value <= highest or value in extra):
            also = "".join(f"{one} or " for one in extra)
            raise Refused(f"{name} is {shown(value)}, wanted {also}a number from {lowest} to {highest}.")
        return value

    return check


def integer(lowest, highest, extra=()):
    """Return a check for an integer, as ``number``. To JSON Schema, and to some clients, 1.0 is one too."""
    in_bounds = number(lowest, highest, extra)

    @says(either({"type": "integer", "minimum": lowest, "maximum": highest}, extra and {"enum": list(extra)}))
    def check(name, value):
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int):
            raise Refused(f"{name} is {shown(value)}, wanted an integer.")
        return in_bounds(name, value)

    return check


FROM_0_TO_2 = number(0, 2)


@says(FROM_0_TO_2.schema)
def temperature(name, value):
    """Return a temperature; one that is legal and too cold for a GPU becomes 0 or the coldest, whichever is nearer."""
    value = FROM_0_TO_2(name, value)
    if 0 < value < COLDEST:
        return 0 if value < COLDEST / 2 else COLDEST
    return value


@says({"type": "boolean"})
def boolean(name, value):
    """Return a boolean or refuse."""
    if not isinstance(value, bool):
        raise Refused(f"{name} is {shown(value)}, wanted true or false.")
    return value


def text(longest, shortest=1):
    """Return a check for text of some length that can be written as UTF-8."""

    @says({"type": "string", "minLength": shortest, "maxLength": longest})
    def check(name, value):
        if not isinstance(value, str):
            raise Refused(f"{name} is {shown(value)}, wanted text.")
        if not shortest <= len(value) <= longest:
            raise Refused(f"{name} has {len(value)} characters, wanted {shortest} to {longest}.")
        if re.search("[\ud800-\udfff]", value):
            raise Refused(f"{name} has half of a surrogate pair, which is no character.")
        return value

    return check


def stops(most, longest):
    """Return a check for the texts that end an answer; an empty list means none."""
    some = texts(most, longest)

    @says(either(some.schema, {"enum": [[]]}))
    def check(name, value):
        return None if value == [] else some(name, value)

    return check


@says(
    {
        "type": "object",
        "properties": {"include_usage": {"type": ["boolean", "null"]}},
        "additionalProperties": {"enum": [None, False]},
    }
)
def stream_options(name, value):
    """Return the options of a stream; ``include_usage`` is the only one that changes anything here."""
    if not isinstance(value, dict):
        raise Refused(f"{name} is {shown(value)}, wanted an object.")
    for option, one in value.items():
        if option != "include_usage" and one is not None and one is not False:
            raise Refused(f"{name} has {shown(option)}, wanted include_usage only.")
    wanted = value.get("include_usage")
    return {"include_usage": wanted is not None and boolean(f"{name}.include_usage", wanted)}


def only(*harmless, why):
    """Return a check for a parameter that can not be served: it is left out when its value asks for nothing."""

    @says({"enum": [*harmless, None]})
    def check(name, value):
        if not any(value == one and type(value) is type(one) for one in harmless):
            raise Refused(f"{name} is not served here: {why}. Leave it out.", code="unsupported_parameter")

    return check


def unused(check):
    """Return a check for a parameter that is right as ``check`` says, and that changes no answer: it is left out."""

    @says(check.schema)
    def leave_out(name, value):
        check(name, value)

    return leave_out


def one_of(*wanted):
    """Return a check for one of some words."""

    @says({"enum": list(wanted)})
    def check(name, value):
        if value not in wanted:
            raise Refused(f"{name} is {shown(value)}, wanted one of: {', '.join(wanted)}.")
        return value

    return check


def texts(most, longest):
    """Return a check for text, or a list of it."""
    one = text(longest)

    @says(either(one.schema, {"type": "array", "minItems": 1, "maxItems": most, "items": one.schema}))
    def check(name, value):
        if not isinstance(value, list):
            return one(name, value)
        if not 1 <= len(value) <= most:
            raise Refused(f"{name} has {len(value)} entries, wanted 1 to {most}.")
        if all(isinstance(entry, (int, list)) for entry in value):
            # FastChat would ask the internet for OpenAI's tokenizer, whose numbers are not the model's.
            raise Refused(f"{name} is given in tokens, wanted text.")
        return [one(f"{name}[{at}]", entry) for at, entry in enumerate(value)]

    return check


def nothing_else(name, value, known):
    """Refuse what an object of a chat says beyond ``known``, unless it says nothing."""
    for key, one in value.items():
        if key not in known and one not in EMPTY:
            raise Refused(f"{name} has {shown(key)}, wanted {' and '.join(known)} only.", code="unsupported_parameter")


ANY_TEXT = text(BODY_LIMIT, 0)
PART = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"enum": ["text"]}, "text": ANY_TEXT.schema},
    "additionalProperties": NOTHING_ELSE,
}


@says(either(ANY_TEXT.schema, {"type": "array", "minItems": 1, "items": PART}))
def content(name, value):
    """Return a message's content as text: parts are joined as FastChat does, what is not text is refused."""
    if not isinstance(value, list):
        return ANY_TEXT(name, value)
    if not value:
        raise Refused(f"{name} is an empty list, wanted text.")
    pieces = []
    for at, part in enumerate(value):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text":
            # Workers open an image's address themselves, be it a file of theirs or a neighbour's URL (FastChat #3873).
            raise Refused(f"{name}[{at}] is of type {shown(kind)}, wanted text: nothing else is served here.")
        nothing_else(f"{name}[{at}]", part, ("type", "text"))
        pieces.append(ANY_TEXT(f"{name}[{at}].text", part.get("text")))
    return "\n".join(pieces)


def message_schema(roles, said, required):
    """Return the JSON Schema of a message of some roles whose content is ``said``."""
    return {
        "type": "object",
        "required": required,
        "properties": {"role": {"enum": roles}, "content": said},
        "additionalProperties": NOTHING_ELSE,
    }


ROLE = one_of(*MESSAGE_ROLES)
MESSAGE = either(
    message_schema(["system", "developer", "user"], content.schema, ["role", "content"]),
    message_schema(["assistant"], either(content.schema, {"type": "null"}), ["role"]),
)


@says({"type": "array", "minItems": 1, "maxItems": MOST_MESSAGES, "items": MESSAGE})
def messages(name, value):
    """Return a chat's messages with role and text only, what the system says first and in one.

    FastChat keeps the last system message only, and knows no developer. An assistant that only called tools said
    nothing: its content is null.
    """
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_MESSAGES:
        raise Refused(f"{name} is {shown(value)}, wanted a list of 1 to {MOST_MESSAGES} messages.")
    system, found = [], []
    for at, message in enumerate(value):
        if not isinstance(message, dict):
            raise Refused(f"{name}[{at}] is {shown(message)}, wanted an object with role and content.")
        role = ROLE(f"{name}[{at}].role", message.get("role"))
        nothing_else(f"{name}[{at}]", message, ("role", "content"))
        said = message.get("content")
        said = "" if said is None and role == "assistant" else content(f"{name}[{at}].content", said)
        if role in ("system", "developer"):
            system.append(said)
        else:
            found.append({"role": role, "content": said})
    return [*([{"role": "system", "content": "\n".join(system)}] if system else []), *found]
