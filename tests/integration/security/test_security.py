"""One fleet behind its gateway, in order: refused, set up, scanned, asked without a key, keys rotated, attacked."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from secured import FLEET, HERE, ONE_MODEL, OPENAI, Streaming

from report.record import settle
from testbed import environment
from testbed.containers import fleet
from testbed.containers.runs import changed, words
from testbed.paths import STATE
from tests.support.ledger_runs import everything_in

SECRETS = []  # of every key that was ever in force, the part that no escaping changes
TIMEOUT = 1800


def remember(site):
    SECRETS.extend(key[3:] for key in site.keys.values() if key[3:] not in SECRETS)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "fastchat_gateway_api_keys has no key"),
        ({"alice": "sk-too-short"}, "The key of alice has 12 characters, wanted 20 or more."),
        ({"alice": 'sk-0123456789abcdef"; return 200; "'}, "The key of alice has other characters than"),
        ({"alice": "sk-0123456789abcdef0", "bob": "sk-0123456789abcdef0"}, "alice and bob have the same key"),
    ],
)
def test_bad_keys_are_refused_before_anything_changes_and_never_said(site, keys, sentence):
    good = site.keys
    site.give(**keys)
    runner = site.run("-vvv")
    site.give(**good)
    assert runner.rc != 0 and sentence in words(runner)
    assert changed(runner) == []
    for key in keys.values():
        assert key not in runner.stdout.read()


def test_the_fleet_is_set_up_and_verified_through_the_gateway_without_saying_a_key(site):
    remember(site)
    runner = site.run("-vvv", "--diff")
    assert runner.rc == 0, words(runner)
    said = runner.stdout.read()
    assert "https://ctl01:443/v1: What is the capital of France?" in said
    assert not [key for key in SECRETS if key in said]


def test_a_second_run_changes_nothing_and_says_no_key(site):
    for arguments in (["-vvv", "--diff"], ["-vvv", "--check", "--diff"]):
        runner = site.run(*arguments)
        assert runner.rc == 0, words(runner)
        assert changed(runner) == []
        assert not [key for key in SECRETS if key in runner.stdout.read()]


def test_an_outsider_reaches_the_gateway_and_ssh_and_no_other_port(site):
    assert site.open_ports("outsider", "ctl01") == [22, 443]
    assert site.open_ports("outsider", "gpu01") == [22]


def test_members_reach_the_fleet_s_ports(site):
    assert {21001, 8000, 8001} <= set(site.open_ports("gpu01", "ctl01"))
    assert 21002 in site.open_ports("ctl01", "gpu01")


def routes(site):
    """Return every path that FastChat's API server, controller and workers have, as it is installed."""
    code = (
        "import json, sys\n"  # FastChat takes sys.stdout for its log
        "from fastchat.serve import base_model_worker, controller, openai_api_server\n"
        "apps = [openai_api_server.app, controller.app, base_model_worker.app]\n"
        "print(json.dumps(sorted({route.path for app in apps for route in app.routes})), file=sys.__stdout__)\n"
    )
    return json.loads(site.on("ctl01", "/opt/fastchat/env/bin/python", "-", stdin=code).splitlines()[-1])


def test_no_path_answers_without_a_key(site):
    paths = [path.replace("{model_name}", "x") for path in routes(site)]
    assert {"/v1/chat/completions", "/api/v1/token_check", "/register_worker", "/worker_generate"} <= set(paths)
    paths += [ONE_MODEL, "/", "/fleet", "/fleet/alive", "/fleet/leave", "/chat", "/chat/", "/v1/models/", "//v1/models"]
    paths += ["/v1/../v1/models", "/v1/%6dodels", "/V1/models", "/nginx_status", "/.well-known/x", "/v1/models;x"]
    wrong = [
        {},
        {"Authorization": "Bearer sk-wrong-0123456789abcdef"},
        {"Authorization": f"Bearer {site.keys['alice']}x"},
        {"Authorization": f"Bearer {site.keys['alice'][:-1]}"},
        {"Authorization": f"Bearer {site.keys['alice'].swapcase()}"},
        {"Authorization": site.keys["alice"]},
        {"X-Api-Key": site.keys["alice"]},
        {"Cookie": f"key={site.keys['alice']}"},
    ]
    requests = [
        {"path": path, "method": method, "headers": headers, "body": "{}" if method == "POST" else None}
        for path in paths
        for method in ("GET", "POST")
        for headers in (wrong if path in [*OPENAI, ONE_MODEL] else wrong[:2])
    ]
    requests += [{"path": f"/v1/models?api_key={site.keys['alice']}"}]
    answers = site.ask(*requests)
    answered = [
        (ask["method"], ask["path"]) for ask, said in zip(requests[:-1], answers, strict=False) if said[0] != 401
    ]
    assert answered == [] and answers[-1][0] == 401
    assert json.loads(answers[0][1])["error"]["code"] == "invalid_api_key"


def test_with_a_key_there_are_openai_s_paths_and_nothing_else(site):
    paths = [path.replace("{model_name}", "x") for path in routes(site) if path not in OPENAI]
    paths += ["/", "/fleet", "/fleet/alive", "/fleet/leave", "/fleet/join"]
    answers = site.ask(*({"path": path, "method": "POST", "headers": site.bearer("bob"), "body": {}} for path in paths))
    assert {said[0] for said in answers} == {404}
    assert site.ask({"path": "/v1/models", "headers": site.bearer("bob")})[0][0] == 200
    assert site.ask({"path": "/v1/models?x=1", "headers": site.bearer("bob")})[0][0] == 400
    assert site.ask({"path": ONE_MODEL, "headers": site.bearer("bob")})[0][0] == 200
    assert site.ask({"path": f"{ONE_MODEL}?x=1", "headers": site.bearer("bob")})[0][0] == 400
    assert site.ask({**site.chat(), "body": "x" * 600000})[0][0] == 413


def test_a_chat_through_the_gateway_streams(site):
    whole, streamed = site.ask(site.chat(), site.chat(stream=True))
    assert whole[0] == streamed[0] == 200
    assert "Paris" in json.loads(whole[1])["choices"][0]["message"]["content"]
    assert streamed[1].endswith("data: [DONE]\n\n")
    assert len(streamed[2]) > 3 and streamed[2][-1] - streamed[2][0] > 0.2, "pieces come as they are made"


def test_no_key_stands_where_it_should_not(site):
    """Keys stand in no log, no argument list, no unit, and in no environment or file that others can read."""
    who = list(site.keys)[-1]
    site.ask({"path": f"/v1/models?api_key={site.keys[who]}"})
    site.ask({"path": f"/{site.keys[who]}", "headers": site.bearer(who)})
    remember(site)
    for host in ("ctl01", "gpu01"):
        found = site.script(host, "leaks.py", {"secrets": SECRETS})
        assert found["processes"] == [] and not found["journal"] and found["journal_bytes"] > 1000
        assert {path.rsplit("/", 1)[-1] for path in found["files"]} == ({"keys.conf"} if host == "ctl01" else set())
        assert set(found["files"].values()) <= {"640 root:fastchat-gateway"}
    log = site.on("ctl01", "journalctl", "--no-pager", "--unit=fastchat-gateway.service")
    assert '"alice" POST /v1/chat/completions 200' in log and f'"{who}" GET (another) 404' in log
    # Every run of this story is in its ledger, with its diffs.
    settle(STATE / FLEET / "ledger")
    kept = everything_in(STATE / FLEET / "ledger")
    assert b"The key of alice has 12 characters" in kept
    assert not [key for key in SECRETS if key.encode() in kept]


def test_keys_are_exchanged_while_an_answer_is_streamed(site):
    was, old = site.pid(), site.bearer("alice")
    answer = Streaming(site, "alice")
    answer.start()
    time.sleep(2)
    site.give(alice=site.new_key(), carol=site.new_key())
    remember(site)
    runner = site.run("-vvv", "--diff", playbook="playbooks/gateway.yml")
    assert runner.rc == 0, words(runner)
    assert not [key for key in SECRETS if key in runner.stdout.read()]
    statuses = [said[0] for said in site.ask({"path": "/v1/models", "headers": old}, *(
        {"path": "/v1/models", "headers": site.bearer(who)} for who in ("alice", "carol")))]  # fmt: skip
    assert statuses == [401, 200, 200]
    answer.join(TIMEOUT)
    assert answer.said[0] == 200 and answer.said[1].endswith("data: [DONE]\n\n")
    assert site.pid() == was


def shown(site):
    """Return the certificate that the gateway shows, PEM."""
    code = "import ssl; print(ssl.get_server_certificate(('ctl01', 443)))"
    return site.on("outsider", "python3", "-c", code).strip()


def test_the_generated_certificate_has_the_fleet_s_names(site):
    said = site.on("ctl01", "openssl", "x509", "-noout", "-text", "-in", "/var/lib/fastchat-gateway/certificate.pem")
    assert "DNS:ctl01" in said and f"IP Address:{fleet.address_of(FLEET, 'ctl01')}" in said
    assert "prime256v1" in said and shown(site) == site.certificate.read_text().strip()


def test_old_tls_is_refused(site):
    code = (
        "import ssl, socket\n"
        "context = ssl._create_unverified_context()\n"
        "context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1\n"
        "context.set_ciphers('ALL:@SECLEVEL=0')\n"
        "try:\n"
        "    print(context.wrap_socket(socket.create_connection(('ctl01', 443))).version())\n"
        "except ssl.SSLError as error:\n"
        "    print('refused')\n"
    )
    assert site.on("outsider", "python3", "-W", "ignore", "-c", code) == "refused"


def made(name):
    """Make a certificate of an operator's own in the fleet's state; return the paths of certificate and key."""
    paths = [str(STATE / FLEET / f"{name}.{kind}") for kind in ("crt", "key")]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "9",
    ]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:ctl01", "-out", paths[0], "-keyout", paths[1]]
    subprocess.run(command, check=True, capture_output=True)
    return paths


def test_a_certificate_is_exchanged_without_a_restart_and_a_wrong_pair_leaves_the_old_one_serving(site):
    was = site.pid()
    (certificate, key), (_, other) = made("operator"), made("other")
    given = {"fastchat_gateway_certificate": certificate, "fastchat_gateway_certificate_key": key}
    runner = site.run("-vvv", "--diff", playbook="playbooks/gateway.yml", **given)
    assert runner.rc == 0, words(runner)
    assert "PRIVATE" not in runner.stdout.read()
    time.sleep(2)
    assert shown(site) == Path(certificate).read_text().strip()
    runner = site.run(playbook="playbooks/gateway.yml", **{**given, "fastchat_gateway_certificate_key": other})
    assert runner.rc != 0 and "key values mismatch" in str(runner.stdout.read())
    assert shown(site) == Path(certificate).read_text().strip()
    assert site.ask(site.chat())[0][0] == 200
    runner = site.run(playbook="playbooks/gateway.yml")
    assert runner.rc == 0, words(runner)
    assert site.pid() == was


def queue_length(site):
    code = (
        "import json, urllib.request\n"
        "request = urllib.request.Request('http://gpu01:21002/worker_get_status', method='POST')\n"
        "print(json.load(urllib.request.urlopen(request))['queue_length'])\n"
    )
    return int(site.on("ctl01", "python3", "-c", code))


def still_serving(site):
    whole, streamed = site.ask(site.chat(), site.chat(stream=True))
    assert whole[0] == streamed[0] == 200 and "Paris" in whole[1]
    deadline = time.monotonic() + 30
    while queue_length(site) and time.monotonic() < deadline:
        time.sleep(1)
    assert queue_length(site) == 0, "a slot was lost"


def test_the_published_attacks_end_at_the_gateway(site):
    image = [{"type": "image_url", "image_url": {"url": "/etc/fastchat/worker@0.env.png"}}]
    local = site.chat()
    local["body"]["messages"][0]["content"] = image
    ssrf = {"worker_name": "http://169.254.169.254", "check_heart_beat": False, "worker_status": None}
    attacks = [
        local,  # a local file by an image's address (#3873)
        {"path": "/register_worker", "method": "POST", "body": ssrf},  # SSRF, spoofed models (CVE-2024-10044, #3776)
        {"path": "/worker_generate_stream", "method": "POST", "body": {"model": "smollm2-demo"}},
        {"path": "/worker_generate", "method": "POST", "body": {}},  # a slot is lost
        {"path": "/api/v1/chat/completions", "method": "POST", "body": local["body"]},  # without a key (#2518)
        {"path": "/docs"},
    ]
    answers = site.ask(*({**attack, "headers": site.bearer("alice")} for attack in attacks))
    assert [said[0] for said in answers] == [400, 404, 404, 404, 404, 404]
    still_serving(site)


def test_the_guard_is_what_keeps_slots(site):
    """The attack is real: the same request sent to the worker itself, as only a member can, loses a slot."""
    code = (
        "import urllib.request\n"
        "request = urllib.request.Request('http://gpu01:21002/worker_generate', b'{}')\n"
        "try:\n    urllib.request.urlopen(request)\nexcept OSError as error:\n    print(error)\n"
    )
    assert "500" in site.on("ctl01", "python3", "-c", code)
    assert queue_length(site) == 1
    site.on("gpu01", "systemctl", "restart", "fastchat-worker@0.service")
    deadline = time.monotonic() + 180
    while site.ask(site.chat())[0][0] != 200:
        assert time.monotonic() < deadline, "the worker does not come back"


def test_hundreds_of_generated_requests_leave_it_serving(site):
    schema = STATE / FLEET / "openapi.json"
    code = (
        "import json, sys, fastchat.serve.openai_api_server as server\n"
        "print(json.dumps(server.app.openapi()), file=sys.__stdout__)\n"
    )
    schema.write_text(site.on("ctl01", "/opt/fastchat/env/bin/python", "-c", code).splitlines()[-1])
    python = environment.ensure("security", ("security",)) / "bin" / "python"
    known = {"KEY": site.keys["alice"], "MODEL": "smollm2-demo", "COUNT": os.environ.get("HOSTILE_COUNT", "60")}
    # The certificate has the address, so that this machine, which does not know the fleet's names, can ask.
    url = f"https://{fleet.address_of(FLEET, 'ctl01')}"
    command = [str(python), str(HERE / "hostile.py"), str(schema), url, str(site.certificate)]
    done = subprocess.run(
        command, env={**os.environ, **known}, capture_output=True, text=True, check=False, timeout=TIMEOUT
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(said["counts"], indent=2))
    assert said["broken"] == []
    assert sum(said["counts"].values()) > 300 and {name.rsplit(" ", 1)[1] for name in said["counts"]} >= {"200", "400"}
    still_serving(site)


def test_the_firewall_can_be_turned_off_and_on_and_outlives_a_reboot(site):
    off = site.run(playbook="playbooks/firewall.yml", fleet_firewall=False)
    assert off.rc == 0, words(off)
    assert 21001 in site.open_ports("outsider", "ctl01")
    assert site.on("ctl01", "nft", "list", "tables") == ""
    on = site.run(playbook="playbooks/firewall.yml")
    assert on.rc == 0, words(on)
    fleet.podman("restart", "--time", "20", f"{fleet.prefix(FLEET)}-ctl01")
    fleet.wait_booted(f"{fleet.prefix(FLEET)}-ctl01")
    deadline = time.monotonic() + 120
    while not {443, 21001} <= set(site.open_ports("gpu01", "ctl01")):  # before that, nothing would listen
        assert time.monotonic() < deadline, "what listened before the reboot does not after it"
    assert site.open_ports("outsider", "ctl01") == [22, 443]
