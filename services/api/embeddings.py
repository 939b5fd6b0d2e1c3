"""Embeddings: many texts are asked for in parts, since a worker does nothing else while it embeds."""

import base64
import struct

from .errors import reply
from .stream import Kept

# A worker makes the texts of one call as long as the longest, by padding: so much memory and time one call may take.
AT_ONCE, CHARACTERS = 16, 8192


def parts(texts):
    """Return texts in order, in lists that a worker gets at once: few long ones, or more short ones."""
    found, longest = [], 0
    for text in texts:
        longest = max(longest, len(text))
        if found and len(found[-1]) < AT_ONCE and longest * (len(found[-1]) + 1) <= CHARACTERS:
            found[-1].append(text)
        else:
            found.append([text])
            longest = len(text)
    return found


async def embed(ask, scope, send, asked):
    """Answer a request for embeddings; ``ask`` is an async function (scope, send, asked) that has FastChat answer."""
    texts = asked.body["input"] if isinstance(asked.body["input"], list) else [asked.body["input"]]
    answers = []
    for part in parts(texts):
        kept = Kept()
        await ask(scope, kept, asked._replace(body={**asked.body, "input": part}))
        answer = kept.value()
        if answer is None:
            return
        answers.append(answer)
    await reply(send, 200, joined(answers, asked.base64))


def joined(answers, in_base64):
    """Return one answer of several: the embeddings in order, the usage summed."""
    vectors = [entry["embedding"] for answer in answers for entry in answer["data"]]
    data = [
        {"object": "embedding", "embedding": packed(one) if in_base64 else one, "index": at}
        for at, one in enumerate(vectors)
    ]
    tokens = sum(answer["usage"]["prompt_tokens"] for answer in answers)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": answers[0]["model"], "usage": usage}


def packed(vector):
    """Return a vector as clients decode it: float32. A worker on a GPU would pack the float16 that it has."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
