"""Embeddings: many texts are asked for in parts, since a worker does nothing else while it embeds."""

import base64
import struct

from .errors import reply
from .stream import Kept

AT_ONCE = 16


async def embed(ask, scope, send, asked):
    """Answer a request for embeddings; ``ask`` is an async function (scope, send, asked) that has FastChat answer."""
    texts = asked.body["input"] if isinstance(asked.body["input"], list) else [asked.body["input"]]
    answers = []
    for at in range(0, len(texts), AT_ONCE):
        kept = Kept()
        await ask(scope, kept, asked._replace(body={**asked.body, "input": texts[at : at + AT_ONCE]}))
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
