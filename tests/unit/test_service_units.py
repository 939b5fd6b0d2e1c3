"""The states that systemd reports, the steps that follow, and health checks. The commands stand in for systemd."""

import http.server
import threading

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.fastchat.fleet.plugins.filter.services import service_units
from ansible_collections.fastchat.fleet.plugins.module_utils.host.units import Systemd, answers, plan, running_digest
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.hosts import cpu_list

SHOWN = {
    "LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no",
    "MainPID": "7", "ControlPID": "0", "Listen": "",
}  # fmt: skip


@pytest.fixture
def process(tmp_path, monkeypatch):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "environ").write_bytes(b"A=1\0FASTCHAT_DIGEST=abc\0B=2\0")
    monkeypatch.setattr(f"{Systemd.__module__}.running_digest", lambda shown: running_digest(shown, str(tmp_path)))
    return str(tmp_path)


def test_a_process_says_what_it_started_with(process):
    assert running_digest(SHOWN, process) == "abc"
    assert running_digest({**SHOWN, "MainPID": "8"}, process) is None
    assert running_digest({**SHOWN, "MainPID": "0", "ControlPID": "7"}, process) == "abc"


@pytest.mark.parametrize(
    ("digest", "shown", "steps"),
    [
        ("abc", {}, []),
        ("abd", {}, ["restart"]),
        ("abc", {"UnitFileState": "disabled"}, ["enable"]),
        ("abc", {"MainPID": "0", "ActiveState": "inactive", "UnitFileState": ""}, ["enable", "start"]),
        ("abc", {"ActiveState": "deactivating"}, ["start"]),
        ("abc", {"MainPID": "0", "ActiveState": "failed"}, ["start"]),
    ],
)
def test_what_a_unit_needs(process, digest, shown, steps):
    assert plan({"name": "x", "digest": digest}, {**SHOWN, **shown}) == steps


def test_what_systemctl_refuses_is_an_error_with_its_words():
    with pytest.raises(RuntimeError, match="systemctl start x ended with 5: Unit x not found"):
        Systemd(lambda arguments: (5, "Unit x not found.")).call("start", "x")
    assert Systemd(lambda arguments: (0, "ActiveState=active")).show("x")["Listen"] == ""


@pytest.mark.parametrize(
    "other", [{}, {"ActiveState": "failed"}, {"UnitFileState": "disabled"}, {"NeedDaemonReload": "yes"}]
)
def test_a_unit_runs_when_it_is_started_enabled_and_as_its_file_says(other):
    said = "\n".join(f"{name}={value}" for name, value in {**SHOWN, **other}.items())
    assert Systemd(lambda arguments: (0, said)).runs("x") is (not other)


def test_a_gate_answers_or_says_what_it_said():
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200 if self.path == "/good" else 500)
            self.end_headers()
            self.wfile.write(b'{"state":"joining"}')

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    assert answers({"url": url + "/good", "method": "POST", "expect": "joining"}) == ""
    assert "wanted serving" in answers({"url": url + "/good", "method": "POST", "body": {}, "expect": "serving"})
    assert "500" in answers({"url": url + "/bad", "method": "POST"})
    server.shutdown()
    server.server_close()
    assert "refused" in answers({"url": url + "/good", "method": "POST"})


def test_a_unit_that_is_described_wrongly_is_refused_by_name():
    good = {"name": "web", "description": "d", "command": ["x"], "gates": []}
    (whole,) = service_units([good])
    assert whole["follows"] == ["/opt/fastchat/env"] and whole["memory_limit"] == "infinity"
    with pytest.raises(AnsibleFilterError, match=r"unit web lacks \['gates'\] and has the unknown keys \['gate'\]"):
        service_units([{**{k: v for k, v in good.items() if k != "gates"}, "gate": []}])


def test_cpus_are_written_one_by_one():
    assert cpu_list("0-2,8") == "0 1 2 8"
    assert cpu_list("0 1 2") == "0 1 2"
    assert cpu_list("") == ""
