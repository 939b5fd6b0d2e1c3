"""LangChain's classes for OpenAI's API."""

from asking import HTTP, serve
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings


def given(options):
    """Return a user's options as LangChain's classes have them; they bring OpenAI's client with them."""
    return {"http_client": HTTP, "max_retries": 0, "timeout": 300, **options}


def counts(usage):
    """Return LangChain's usage, None when there was none."""
    return usage and {"prompt": usage["input_tokens"], "completion": usage["output_tokens"],
                      "total": usage["total_tokens"]}  # fmt: skip


def model_of(options, arguments):
    """Return a chat model, its messages, and what is left for its call."""
    messages = arguments.pop("messages")
    settings = {name: arguments.pop(name) for name in ("model", "temperature", "max_tokens") if name in arguments}
    return ChatOpenAI(stream_usage=True, **settings, **given(options)), messages, arguments


def chat(options, tools=None, **arguments):
    """Invoke a chat model; tools are bound as LangChain has them."""
    model, messages, rest = model_of(options, arguments)
    said = (model.bind_tools(tools) if tools else model).invoke(messages, **rest)
    return {"texts": [said.content], "finish": [said.response_metadata["finish_reason"]],
            "usage": counts(said.usage_metadata)}  # fmt: skip


def stream(options, most=None, stream_options=None, **arguments):
    """Stream from a chat model, which asks for the usage by itself (`stream_usage`)."""
    model, messages, rest = model_of(options, arguments)
    pieces, finish, usage = [], [], None
    saying = model.stream(messages, **rest)
    for chunk in saying:
        pieces += [chunk.content] if chunk.content else []
        reason = chunk.response_metadata.get("finish_reason")
        finish += [reason] if reason else []
        usage = counts(chunk.usage_metadata) or usage
        if most and len(pieces) >= most:
            saying.close()
            break
    return {"texts": ["".join(pieces)], "pieces": len(pieces), "finish": finish, "usage": usage}


def completion(options, prompt, **arguments):
    """Ask for a whole completion."""
    said = OpenAI(**arguments, **given(options)).generate([prompt])
    used = said.llm_output["token_usage"]
    usage = {"prompt": used["prompt_tokens"], "completion": used["completion_tokens"], "total": used["total_tokens"]}
    (one,) = said.generations[0]
    return {"texts": [one.text], "finish": [one.generation_info["finish_reason"]], "usage": usage}


def completion_stream(options, prompt, stream_options=None, **arguments):
    """Ask for a completion as a stream; LangChain does not say its usage."""
    pieces = [piece for piece in OpenAI(**arguments, **given(options)).stream(prompt) if piece]
    return {"texts": ["".join(pieces)], "pieces": len(pieces), "finish": [], "usage": None}


def embeddings(options, model, input):  # noqa: A002  (OpenAI's name)
    """Embed documents; otherwise LangChain would send the numbers of OpenAI's tokenizer."""
    embedder = OpenAIEmbeddings(model=model, check_embedding_ctx_length=False, **given(options))
    vectors = embedder.embed_documents(input) if isinstance(input, list) else [embedder.embed_query(input)]
    return {"vectors": [one[:4] for one in vectors], "lengths": [len(one) for one in vectors],
            "order": list(range(len(vectors))), "tokens": None}  # fmt: skip


serve(chat=chat, stream=stream, completion=completion, completion_stream=completion_stream, embeddings=embeddings)
