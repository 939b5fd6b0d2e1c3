"""The gateway refuses bad keys and certificates, and no sentence has a key in it."""

import pytest
from ansible_collections.fastchat.fleet.plugins.filter.gateway import gateway_key_faults, gateway_origin_faults

from testbed.audit import unit_rules
from testbed.paths import CLONE
from tests.support.rendering import Fleet

EXAMPLE = CLONE / "inventory" / "example"
ALICE, BOB = "sk-alice-0123456789abcdef", "sk-bob.0123456789+/abcdef=="


def test_keys_that_can_be_used():
    assert gateway_key_faults({"alice": ALICE, "bob@example.com": BOB}) == []


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "has no key, and a gateway that lets nobody in serves nobody: set fastchat_gateway_api_keys in a vault"),
        ([ALICE], "is not a mapping of names to keys"),
        (ALICE, "is not a mapping of names to keys"),
        ({"alice": "sk-short"}, "The key of alice has 8 characters, wanted 20 or more."),
        ({"alice": ALICE, "bob": ALICE}, "alice and bob have the same key"),
        ({"alice": ALICE + '"; return 200; "'}, "The key of alice has other characters than"),
        ({"alice": ALICE + "\n"}, "The key of alice has other characters than"),
        ({"alice": ALICE + "$remote_addr"}, "The key of alice has other characters than"),
        ({"alice": 12345678901234567890123}, "The key of alice has other characters than"),
        ({"alice": None}, "The key of alice has other characters than"),
        ({ALICE + '"': "x"}, "has a name with other characters than"),
    ],
)
def test_keys_that_can_not_be_used_are_refused_without_being_said(keys, sentence):
    (said,) = gateway_key_faults(keys)
    assert sentence in said and said.endswith(".")
    assert ALICE not in said and "sk-short" not in said


@pytest.mark.parametrize(
    "origins",
    [
        [],
        ["*"],
        "*",
        "https://chat.example.com",
        ["https://chat.example.com", "http://localhost:3000", "http://[fd00::11]:3000", "vscode-webview://0a1b"],
    ],
)
def test_origins_as_browsers_send_them(origins):
    assert gateway_origin_faults(origins) == []


@pytest.mark.parametrize(
    ("origins", "sentence"),
    [
        (["*", "https://a.example.com"], 'has "*" and others: name "*" alone'),
        (["https://a.example.com/"], "'https://a.example.com/', wanted scheme, host and port only"),
        (["https://a.example.com/chat"], "wanted scheme, host and port only"),
        (["https://A.example.com"], "in small letters, as browsers send it"),
        (["a.example.com"], "wanted scheme, host and port only"),
        (["https://*.example.com"], "wanted scheme, host and port only"),
        (["null"], "wanted scheme, host and port only"),
        ([None], "has None, wanted scheme"),
        (['https://a"; return 200; "'], "wanted scheme, host and port only"),
        (["https://a.example.com\n"], "wanted scheme, host and port only"),
        (["https://$host"], "wanted scheme, host and port only"),
        (["https://a.example.com:443"], "leave the scheme's own port out: write https://a.example.com."),
        (["http://[fd00::11]:80"], "leave the scheme's own port out: write http://[fd00::11]."),
        ({"https://a.example.com": True}, "wanted a list of origins"),
    ],
)
def test_origins_that_no_browser_sends_are_refused(origins, sentence):
    (said,) = gateway_origin_faults(origins)
    assert sentence in said and said.endswith(".")


def rendered(**extra):
    keys = {"alice": ALICE, "bob": BOB}
    files = (
        Fleet(EXAMPLE, fastchat_gateway_api_keys=keys, **extra)
        .join("gateways", "ctl01.example.com")
        .templates("serve.yml")
    )
    return {file.path.rsplit("/", 1)[-1]: file.text for file in files if "gateway" in file.path}


def test_a_key_stands_in_one_file_only_and_with_its_dots_taken_literally():
    files = rendered()
    assert {name for name, text in files.items() if "0123456789" in text} == {"keys.conf"}
    assert r'"~^[Bb]earer +sk\-bob\.0123456789\+/abcdef==$" "bob";' in files["keys.conf"]


def test_every_api_server_is_behind_it_and_only_openai_s_paths_are_before_it():
    conf = rendered()["nginx.conf"]
    for port in (8000, 8001):
        assert f"server ctl01.example.com:{port} " in conf
    paths = [line.split()[-2] for line in conf.splitlines() if line.strip().startswith("location") and "@" not in line]
    one_model = "^/v1/models/."  # whatever its name is, the API server says in its own words that it is not served
    assert paths == ["/", "/v1/models", one_model, "/v1/chat/completions", "/v1/completions", "/v1/embeddings"]
    assert conf.count('if ($fastchat_who = "") { return 401; }') == len(paths)


def test_a_client_is_told_when_to_ask_again_in_openai_s_form():
    conf = rendered()["nginx.conf"]
    busy = conf[conf.index("location @e429") : conf.index("location @e502")]
    for code, pages in ((502, "502"), (503, "503 500 =503"), (504, "504")):
        place = conf[conf.index(f"location @e{code}") :]
        assert "add_header Retry-After 1 always;" in place[: place.index("}")]
        assert f"error_page {pages} @e{code};" in conf
    assert "add_header Retry-After 1 always;" in busy and '"code": "rate_limit_exceeded"' in busy
    assert (
        "add_header Allow $fastchat_allow always;" in conf[conf.index("location @e405") : conf.index("location @e413")]
    )
    assert '"code": "invalid_api_key"' in conf[conf.index("location @e401") :].splitlines()[2]


def test_no_page_of_another_origin_is_let_in_unless_it_is_named_and_then_on_every_answer():
    conf = rendered()["nginx.conf"]
    assert "add_header Access-Control" not in conf and "proxy_hide_header Access-Control-Allow-Origin;" in conf
    assert conf.count('proxy_set_header Origin "";') == 5
    for origins, allowed, vary in (
        (["https://a.example.com"], '"https://a.example.com" $http_origin;', True),
        ("*", 'default "*";', False),
    ):
        extra = {"fastchat_gateway_cors_origins": origins, "fastchat_gateway_web_upstreams": ["web01:7860"]}
        conf = rendered(**extra)["nginx.conf"]
        assert allowed in conf and ("add_header Vary Origin always;" in conf) is vary
        # nginx drops the server's headers in a location that has one of its own.
        for place in conf.split("location ")[1:]:
            own = place[: place.index("}")]
            assert ("add_header" in own) is ("$fastchat_origin always" in own) or place.startswith("@person")


def test_a_key_may_have_no_burst():
    assert rendered()["nginx.conf"].count("limit_req zone=keys burst=50 nodelay;") == 5
    assert rendered(fastchat_gateway_burst=0)["nginx.conf"].count("limit_req zone=keys;") == 5  # nginx knows no burst=0


def test_the_web_ui_is_behind_it_where_there_is_one():
    assert "location /chat/" not in rendered()["nginx.conf"]
    conf = rendered(fastchat_gateway_web_upstreams=["web01:7860"])["nginx.conf"]
    assert "server web01:7860;" in conf and 'if ($fastchat_person = "") { return 401; }' in conf


def test_names_and_addresses_stand_in_the_certificate():
    text = rendered(fastchat_gateway_names=["chat.example.com", "10.1.2.9"])["self-signed.cnf"]
    for line in ("CN = chat.example.com", "DNS.1 = chat.example.com", "IP.2 = 10.1.2.9", "IP.3 = 10.1.2.3"):
        assert line in text


def test_its_unit_is_one_that_systemd_219_can_bear_and_the_only_one_with_a_capability():
    assert unit_rules.faults(rendered()["fastchat-gateway.service"], gpu=False) == []
    services = [file.text for file in Fleet(EXAMPLE).templates("serve.yml") if file.source == "service.unit.j2"]
    assert services and not [text for text in services if "CAP_" in text]


def test_the_firewall_knows_every_host_and_touches_the_fleet_s_ports_only():
    files = {file.source: file for file in Fleet(EXAMPLE, fleet_firewall_backend="nftables").templates("firewall.yml")}
    rules = files["firewall.nft.j2"].text
    assert "tcp dport { 21001-21063, 8000-8015, 7860, 21070, 21080, 21090-21096 } jump fleet" in rules
    assert "policy accept" in rules and rules.count("reject") == 1
    (unit,) = {file.text for file in files.values() if file.path.endswith("/fastchat-firewall.service")}
    known = {f"{line.section}.{line.name}" for line in unit_rules.lines(unit)}
    assert known <= unit_rules.KNOWN | {f"Service.{name}" for name in unit_rules.NEWER}
