"""One gateway in order: set up, asked by pages of other origins, refused by nginx, and each of its own errors."""

import json
import time

import pytest

from testbed.containers.runs import changed, words

HOME, OTHER = "https://chat.example.com", "https://elsewhere.example.com"
CORS = {"fastchat_gateway_cors_origins": [HOME, "http://localhost:3000"]}
# What openai 6 (npm) asks for in a browser.
ASKED_FOR = "authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-retry-count,x-stainless-timeout"
CHAT = "/v1/chat/completions"


def cors_of(headers):
    return {name for name in headers if name.startswith("access-control-")}


def preflight(gateway, path, origin, asked_for=ASKED_FOR):
    names = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": asked_for}
    return gateway.curl(path, "-X", "OPTIONS", Origin=origin, **names)


def ask(gateway, model="any", **headers):
    """Ask for a chat with alice's key."""
    body = ("-X", "POST", "-d", json.dumps({"model": model}))
    return gateway.curl(CHAT, *body, key=gateway.keys["alice"], Content_Type="application/json", **headers)


def is_error(said, kind, code=None):
    """Return whether a body is an error in the API's form."""
    error = json.loads(said)["error"]
    return (error["type"], error["param"], error["code"]) == (kind, None, code) and error["message"]


def test_it_is_set_up_without_saying_a_key_and_keys_lie_in_one_place(gateway):
    runner = gateway.run("-vvv", "--diff")
    assert runner.rc == 0, words(runner)
    said = runner.stdout.read()
    assert "a key of alice" in said and "PRIVATE KEY" not in said
    assert not [key for key in gateway.keys.values() if key[3:] in said]
    (path,) = gateway.with_keys()
    digest = gateway.on("ctl01", "readlink", "/etc/fastchat-gateway/current")
    assert path == f"/etc/fastchat-gateway/{digest}/keys.conf"


def test_a_second_run_changes_nothing(gateway):
    for arguments in ([], ["--check", "--diff"]):
        runner = gateway.run(*arguments)
        assert runner.rc == 0 and changed(runner) == [], words(runner)


def test_no_page_of_another_origin_may_ask_when_nobody_said_so(gateway):
    assert preflight(gateway, CHAT, HOME)[0] == 401
    status, headers, _ = ask(gateway, Origin=HOME)
    assert status == 200 and not cors_of(headers)
    assert [(method, "origin" in sent) for method, sent in gateway.asked()] == [("POST", False)]


def test_rehearsing_origins_shows_them_and_changes_nothing(gateway):
    runner = gateway.run("--check", "--diff", **CORS)
    assert runner.rc == 0 and len(changed(runner)) == 2, words(runner)  # configured, and read
    assert f'+    "{HOME}" $http_origin;' in runner.stdout.read()
    assert preflight(gateway, CHAT, HOME)[0] == 401


def test_pages_of_the_named_origins_may_ask(gateway):
    runner = gateway.run(**CORS)
    assert runner.rc == 0 and len(changed(runner)) == 2, words(runner)  # configured, and read
    before = len(gateway.asked())
    for path in (CHAT, "/v1/models", "/v1/models/a", "/nothing"):
        status, headers, body = preflight(gateway, path, HOME)
        assert (status, body) == (204, "")
        assert headers["access-control-allow-origin"] == HOME and headers["vary"] == "Origin"
        assert headers["access-control-allow-headers"] == ASKED_FOR
        assert headers["access-control-allow-methods"] == "GET, POST"
    assert preflight(gateway, CHAT, HOME, "x-evil")[1]["access-control-allow-headers"] == "authorization, content-type"
    assert len(gateway.asked()) == before, "a preflight reached the API"
    status, headers, _ = ask(gateway, Origin="http://localhost:3000")
    assert status == 200 and headers["access-control-allow-origin"] == "http://localhost:3000"
    assert cors_of(headers) == {"access-control-allow-origin", "access-control-expose-headers"}


def test_pages_of_other_origins_still_may_not(gateway):
    for origin in (OTHER, HOME + ".evil.example.com", "null"):
        status, headers, _ = preflight(gateway, CHAT, origin)
        assert status == 401 and not cors_of(headers) and headers["vary"] == "Origin"
        status, headers, _ = ask(gateway, Origin=origin)
        assert status == 200 and not cors_of(headers)


def test_a_page_can_read_the_gateway_s_own_errors(gateway):
    status, headers, body = gateway.curl("/v1/models", Origin=HOME)
    assert status == 401 and headers["access-control-allow-origin"] == HOME and headers["www-authenticate"] == "Bearer"
    assert is_error(body, "invalid_request_error", "invalid_api_key")
    status, headers, _ = gateway.curl("/nothing", Origin=HOME, key=gateway.keys["bob"])
    assert status == 404 and headers["access-control-allow-origin"] == HOME


def test_all_origins_where_that_is_said(gateway):
    assert gateway.run(fastchat_gateway_cors_origins="*").rc == 0
    status, headers, _ = preflight(gateway, CHAT, OTHER)
    assert (status, headers["access-control-allow-origin"]) == (204, "*") and "vary" not in headers


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"fastchat_gateway_cors_origins": [HOME + "/"]}, "wanted scheme, host and port only"),
        ({"fastchat_gateway_cors_origins": ["*", HOME]}, 'name "*" alone'),
    ],
)
def test_origins_that_no_browser_sends_are_refused(gateway, variables, sentence):
    runner = gateway.run(**variables)
    assert runner.rc != 0 and sentence in words(runner) and changed(runner) == []


def test_what_nginx_refuses_changes_nothing_leaves_no_key_and_the_next_run_goes_on(gateway):
    before = gateway.with_keys()
    for name in ("one", "two"):
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ctl01"]
        gateway.on("ctl01", *made, "-keyout", f"/root/{name}.key", "-out", f"/root/{name}.crt")
    wrong = {
        "fastchat_gateway_certificate": "/root/one.crt",
        "fastchat_gateway_certificate_key": "/root/two.key",
        "fastchat_gateway_certificate_on_host": True,
    }
    runner = gateway.run("-vvv", "--diff", **wrong)
    assert runner.rc != 0 and "nginx does not accept the new configuration" in words(runner)
    assert "key values mismatch" in words(runner)
    assert gateway.with_keys() == before and ask(gateway)[0] == 200
    absent = gateway.run(**{**wrong, "fastchat_gateway_certificate_key": "/root/three.key"})
    assert "/root/three.key is not on the host: put the certificate" in words(absent)
    right = gateway.run("-vvv", "--diff", **{**wrong, "fastchat_gateway_certificate_key": "/root/one.key"})
    assert right.rc == 0 and "PRIVATE KEY" not in right.stdout.read()
    assert len(gateway.with_keys()) == 1 and gateway.with_keys() != before


def test_what_a_killed_run_left_is_removed(gateway):
    gateway.on(
        "ctl01", "sh", "-c", "cd /etc/fastchat-gateway && cp -a current/ candidate && cp -a candidate 0123456789ab"
    )
    assert len(gateway.with_keys()) == 3
    assert gateway.run(**CORS).rc == 0 and len(gateway.with_keys()) == 1


def test_a_key_that_is_taken_away_is_refused_and_lies_nowhere(gateway):
    old = dict(gateway.keys)
    del gateway.keys["bob"]
    assert gateway.run("-vvv", "--diff", **CORS).rc == 0
    assert gateway.curl("/v1/models", key=old["bob"])[0] == 401
    gateway.keys = old
    assert gateway.run(**CORS).rc == 0


def test_too_large_a_request(gateway):
    gateway.on("outsider", "sh", "-c", "head -c 600000 /dev/zero > /tmp/large")
    status, headers, body = gateway.curl(CHAT, "--data-binary", "@/tmp/large", key=gateway.keys["alice"], Origin=HOME)
    assert status == 413 and is_error(body, "invalid_request_error") and "retry-after" not in headers
    assert headers["access-control-allow-origin"] == HOME


def test_an_answer_of_the_api_s_own_goes_through_as_it_is(gateway):
    status, headers, body = ask(gateway, "busy", Origin=HOME)
    assert (status, headers["retry-after"]) == (503, "7") and "No worker." in body
    assert headers["access-control-expose-headers"] == "Retry-After"


def test_each_error_that_passes_says_when_to_ask_again(gateway):
    variables = {**CORS, "fastchat_gateway_requests_per_second": 1, "fastchat_gateway_burst": 0}
    assert gateway.run(**variables, fastchat_gateway_answer_seconds=1).rc == 0
    answers = (gateway.curl("/v1/models", key=gateway.keys["bob"], Origin=HOME) for _ in range(20))
    status, headers, body = next(found for found in answers if found[0] != 200)
    assert (status, headers["retry-after"]) == (429, "1") and headers["access-control-allow-origin"] == HOME
    assert is_error(body, "rate_limit_error", "rate_limit_exceeded")
    gateway.stand_in(8001)  # nginx asks another server before it gives up
    assert gateway.run(**CORS, fastchat_gateway_answer_seconds=1).rc == 0
    status, headers, body = ask(gateway, "slow", Origin=HOME)
    assert (status, headers["retry-after"]) == (504, "1") and is_error(body, "server_error")
    assert headers["access-control-allow-origin"] == HOME
    gateway.leave(8000)
    gateway.leave(8001)
    status, headers, body = ask(gateway, Origin=HOME)
    assert (status, headers["retry-after"]) == (502, "1") and is_error(body, "server_error")
    assert headers["access-control-allow-origin"] == HOME


def test_a_gateway_that_has_no_room_says_when_to_ask_again(gateway):
    """nginx calls it a 500 when it gets no socket for its question to the API; a client should ask again."""
    gateway.stand_in()
    assert gateway.run(**CORS).rc == 0
    assert ask(gateway)[0] == 200
    gateway.limit_files(32)
    gateway.hold(gateway.room(32) - 1)  # the last is for the client's own connection
    until = time.monotonic() + 10
    while gateway.room(32) > 1:
        assert time.monotonic() < until, "the connections are not held"
    status, headers, body = ask(gateway, Origin=HOME)
    gateway.limit_files(0)
    assert (status, headers["retry-after"]) == (503, "1") and is_error(body, "server_error")
    assert headers["access-control-allow-origin"] == HOME
    assert ask(gateway)[0] == 200
