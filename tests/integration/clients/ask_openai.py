"""OpenAI's client for Python, 1.x and current."""

import openai
from asking import HTTP, serve


def client(options):
    """Return a client with a user's options: api_key, max_retries, timeout."""
    return openai.OpenAI(http_client=HTTP, **{"max_retries": 0, "timeout": 300, **options})


def models(options):
    """List the models, then retrieve the first."""
    ids = [model.id for model in client(options).models.list()]
    return {"ids": ids, "one": client(options).models.retrieve(ids[0]).id}


def retrieve(options, model):
    """Retrieve a model by its name."""
    return {"one": client(options).models.retrieve(model).id}


def counts(usage):
    """Return the usage that a client found, None when there was none."""
    return usage and {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens, "total": usage.total_tokens}


def chat(options, **arguments):
    """Ask for a whole answer."""
    said = client(options).chat.completions.create(**arguments)
    texts = [choice.message.content for choice in said.choices]
    return {"texts": texts, "finish": [one.finish_reason for one in said.choices], "usage": counts(said.usage)}


def completion(options, **arguments):
    """Ask for a whole completion."""
    said = client(options).completions.create(**arguments)
    texts = [choice.text for choice in said.choices]
    return {"texts": texts, "finish": [one.finish_reason for one in said.choices], "usage": counts(said.usage)}


def gathered(stream, text_of, most=None):
    """Return the pieces of a stream put together; leave it after `most` pieces with text."""
    pieces, finish, usage = [], [], None
    for chunk in stream:
        finish += [choice.finish_reason for choice in chunk.choices if choice.finish_reason]
        pieces += [text for choice in chunk.choices if (text := text_of(choice))]
        usage = counts(chunk.usage) or usage
        if most and len(pieces) >= most:
            stream.close()
            break
    return {"texts": ["".join(pieces)], "pieces": len(pieces), "finish": finish, "usage": usage}


def stream(options, most=None, **arguments):
    """Ask for an answer as a stream."""
    said = client(options).chat.completions.create(stream=True, **arguments)
    return gathered(said, lambda choice: choice.delta.content, most)


def completion_stream(options, **arguments):
    """Ask for a completion as a stream."""
    said = client(options).completions.create(stream=True, **arguments)
    return gathered(said, lambda choice: choice.text)


def embeddings(options, **arguments):
    """Ask for embeddings (as base64, which is this client's default)."""
    said = client(options).embeddings.create(**arguments)
    vectors = [one.embedding for one in said.data]
    return {"vectors": [one[:4] for one in vectors], "lengths": [len(one) for one in vectors],
            "order": [one.index for one in said.data], "tokens": said.usage.prompt_tokens}  # fmt: skip


serve(models=models, retrieve=retrieve, chat=chat, stream=stream, completion=completion,
      completion_stream=completion_stream, embeddings=embeddings)  # fmt: skip
