import json

import pytest

testinfra_hosts = ["ssh://ctl01"]


@pytest.mark.parametrize(
    ("unit", "port"), [("fastchat-controller", 21001), ("fastchat-api@0", 8000), ("fastchat-api@1", 8001)]
)
def test_it_is_enabled_and_listens_on_the_fleet_s_address_only(host, address, unit, port):
    service = host.service(unit)
    assert service.is_enabled and service.is_running
    assert host.socket(f"tcp://{address}:{port}").is_listening
    assert not host.socket(f"tcp://0.0.0.0:{port}").is_listening
    assert not host.socket(f"tcp://127.0.0.1:{port}").is_listening


def test_an_openai_client_gets_the_answer_streamed_too(host, address):
    code = (
        "import sys, openai\n"
        f"client = openai.OpenAI(base_url='http://{address}:8000/v1', api_key='none')\n"
        "ask = dict(model='smollm2-demo', temperature=0, max_tokens=60,\n"
        "           messages=[{'role': 'user', 'content': 'What is the capital of France?'}])\n"
        "print(client.chat.completions.create(**ask).choices[0].message.content)\n"
        "for piece in client.chat.completions.create(stream=True, **ask):\n"
        "    sys.stdout.write(piece.choices[0].delta.content or '')\n"
    )
    answer = host.run("/opt/fastchat/env/bin/python -c %s", code)
    assert answer.rc == 0, answer.stderr
    assert answer.stdout.count("Paris") == 2


def test_the_controller_knows_the_model(host, address):
    reply = host.check_output(f"python3 -c \"import urllib.request as u; print(u.urlopen(u.Request("
                              f"'http://{address}:21001/list_models', method='POST')).read().decode())\"")  # fmt: skip
    assert json.loads(reply) == {"models": ["smollm2-demo"]}
