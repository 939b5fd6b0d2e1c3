"""The guard over FastChat's own worker with a tiny LLaMA, asked by OpenAI's own client: counts, errors, and slots."""

import json
import os
import subprocess
import sys
import time
import urllib.request

import openai
import pytest
import torch
from guard import MODEL, Api, Controller, free_port
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = ["<unk>", "<s>", "</s>", *(f"w{number}" for number in range(61))]
CONTEXT = 4096
MESSAGES = [{"role": "user", "content": "w1 w2 w3"}]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return the path of a tiny model whose answers are whatever they are, and never end."""
    folder = tmp_path_factory.mktemp("models") / MODEL
    words = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))  # noqa: S106
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    torch.manual_seed(4)
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    made = LlamaForCausalLM(LlamaConfig(vocab_size=len(WORDS), max_position_embeddings=CONTEXT, **size))
    with torch.no_grad():
        made.lm_head.weight[2] = 0  # the ending token never wins
        made.lm_head.bias = None
    made.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def asked(model):
    """Yield (client, worker's URL) of a guard over a worker with the model."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "fastchat.serve.model_worker", "--device=cpu", "--no-register"]
    command += [f"--model-path={model}", f"--model-names={MODEL}", f"--port={port}", f"--worker-address={url}"]
    environment = {**os.environ, "LOGDIR": "", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    log = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*command, "--host=127.0.0.1"], env=environment, **log)
    controller = Controller(url)
    try:
        for _ in range(300):
            try:
                busy(url)
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.3)
        api = Api(controller.url)
        base = f"http://127.0.0.1:{api.port}/v1"
        yield openai.OpenAI(base_url=base, api_key="sk-x", max_retries=0), url
        api.stop()
    finally:
        process.terminate()
        process.wait()
        controller.stop()


def busy(url):
    """Return how many of the worker's slots are taken."""
    request = urllib.request.Request(f"{url}/worker_get_status", data=b"{}", method="POST")
    with urllib.request.urlopen(request, timeout=5) as said:
        return json.load(said)["queue_length"]


def tokens(model, text):
    """Return how many tokens the model's own tokenizer makes of a text, without the first."""
    return len(PreTrainedTokenizerFast.from_pretrained(model)(text).input_ids) - 1


@pytest.mark.parametrize("answers", [1, 3])
@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_usage_is_what_the_tokenizer_counts(asked, model, answers, limit):
    client, _url = asked
    options = {"model": MODEL, "messages": MESSAGES, "n": answers, "temperature": 0.00001, limit: 3}
    whole = client.chat.completions.create(**options)
    texts = [choice.message.content for choice in whole.choices]
    assert whole.usage.completion_tokens == sum(tokens(model, text) for text in texts) == 3 * answers
    assert {choice.finish_reason for choice in whole.choices} == {"length"}
    chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    ends = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert ends == ["length"] * answers


@pytest.mark.parametrize("limit", [1, 8, 5000])
def test_a_prompt_is_counted_whole_whatever_is_left_for_the_answer(asked, model, limit):
    client, _url = asked
    prompt = "w4 " * (CONTEXT - 12)
    whole = client.completions.create(model=MODEL, prompt=prompt, max_tokens=limit, temperature=0)
    assert whole.usage.prompt_tokens == tokens(model, prompt) + 1
    assert whole.usage.completion_tokens == tokens(model, whole.choices[0].text) == min(limit, 10)


def test_a_completion_has_the_probabilities_of_its_tokens(asked):
    client, _url = asked
    whole = client.completions.create(model=MODEL, prompt="w1", max_tokens=4, logprobs=0)
    assert len(whole.choices[0].logprobs.token_logprobs) == 4


def test_errors_are_those_that_openai_s_client_knows(asked):
    client, _url = asked
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="gpt-5", messages=MESSAGES)
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model=MODEL, prompt="w1 " * 5000)
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=MODEL, messages=MESSAGES, frequency_penalty=1, stream=True)
    assert refused.value.param == "frequency_penalty"
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5")


def test_embeddings_come_as_openai_s_client_reads_them(asked, model):
    client, _url = asked
    texts = [f"w{number} w2" for number in range(20)]
    many = client.embeddings.create(model=MODEL, input=texts)
    assert [one.index for one in many.data] == list(range(20)) and len(many.data[0].embedding) == 32
    assert many.usage.prompt_tokens == sum(tokens(model, text) + 1 for text in texts)
    alone = client.embeddings.create(model=MODEL, input=texts[3], encoding_format="float")
    assert many.data[3].embedding == pytest.approx(alone.data[0].embedding, abs=1e-5)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_gives_up_frees_its_slots_within_two_seconds(asked, stream):
    client, url = asked
    options = {"model": MODEL, "prompt": "w1", "max_tokens": 4000, "n": 2, "temperature": 0}
    for _ in range(2):
        if stream:
            with client.completions.create(**options, stream=True) as chunks:
                assert next(iter(chunks)).choices and busy(url)
        else:
            with pytest.raises(openai.APITimeoutError):
                client.with_options(timeout=1).completions.create(**options)
    left = time.monotonic()
    while busy(url) and time.monotonic() - left < 5:
        time.sleep(0.1)
    assert time.monotonic() - left < 2
