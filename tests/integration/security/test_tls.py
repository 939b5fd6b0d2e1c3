"""TLS between the hosts, in order: off (the control), refused by halves, on, renewed, another CA, reboot, off."""

import subprocess
import time
from contextlib import contextmanager

import pytest
from secured import FLEET, HERE, Streaming

from testbed.containers import fleet
from testbed.containers.runs import changed, words
from testbed.paths import STATE

AUTHORITY = STATE / FLEET / "tls"
PLAYBOOK = "playbooks/tls.yml"
QUESTION = "What is the capital of France?"
TIMEOUT = 900
# Asks the worker as stunnel's own user, whose connections are not redirected through stunnel. So it sees what a member
# with no certificate, or with another one, sees. A certificate that the CA signed is the control.
ASK_PORT = """
import socket, ssl, sys
kind, certificate, key = sys.argv[1:]
try:
    one = socket.create_connection(("gpu01", 21002), 5)
    if kind != "plain":
        context = ssl._create_unverified_context()
        if certificate:
            context.load_cert_chain(certificate, key)
        one = context.wrap_socket(one)
    one.sendall(b"POST /worker_get_status HTTP/1.1\\r\\nHost: gpu01\\r\\nContent-Length: 0\\r\\n\\r\\n")
    print(one.recv(100).split(b"\\r\\n")[0].decode() or "nothing")
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture(scope="module", autouse=True)
def served(site):
    """The fleet without TLS; an earlier module may have brought it up already."""
    if site.ask({"path": "/"})[0][0] == 0:
        runner = site.run()
        assert runner.rc == 0, words(runner)


def turn(site, on, *arguments, **variables):
    """Run the playbook with TLS on or off."""
    return site.run(*arguments, playbook=PLAYBOOK, fleet_tls=on, fleet_tls_ca=str(AUTHORITY), **variables)


@contextmanager
def wire(host):
    """Yield a list that is filled, when the block ends, with every TCP frame that went over a host's wire.

    A container beside it in the same network listens: hosts of the testbed may not open raw sockets.
    """
    name, frames = f"{fleet.prefix(FLEET)}-{host}", []
    image = fleet.podman("inspect", "--format", "{{.ImageName}}", name)
    command = ["podman", *fleet.runtime(), "run", "--rm", "--interactive", "--network", f"container:{name}"]
    command += ["--cap-add", "NET_RAW", "--security-opt", "label=disable", *fleet.limits(), image]
    command += ["python3", "-c", (HERE / "sniff.py").read_text()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout.readline() == "listening\n"
        yield frames
        said, _ = listener.communicate()  # it ends when its input ends
    frames += [bytes.fromhex(line) for line in said.split()]


def answers(site):
    """Assert that a chat is answered through the gateway, whole and streamed."""
    whole, streamed = site.ask(site.chat(), site.chat(stream=True))
    assert whole[0] == streamed[0] == 200, (whole, streamed)
    assert "Paris" in whole[1] and streamed[1].endswith("data: [DONE]\n\n")
    assert len(streamed[2]) > 3 and streamed[2][-1] - streamed[2][0] > 0.2, "pieces come as they are made"


def stunnel(site, host="ctl01"):
    return site.on(host, "systemctl", "show", "--property=MainPID", "fastchat-tls.service")


def issuer_key(site, host):
    """Return the key id of the authority that signed a host's certificate, as the certificate says."""
    said = site.on(
        host, "openssl", "x509", "-noout", "-ext", "authorityKeyIdentifier", "-in", "/etc/fastchat-tls/cert.pem"
    )
    return said.split()[-1]


def ask_port(site, kind, certificate="", key=""):
    """Return how a worker's port answers a member whose connection is not redirected through stunnel."""
    command = ["setpriv", "--reuid=fastchat-tls", "--clear-groups", "--regid=fastchat-tls", "python3", "-"]
    return site.on("ctl01", *command, kind, certificate, key, stdin=ASK_PORT)


def test_without_it_the_wire_between_controller_and_worker_can_be_read(site):
    with wire("gpu01") as frames:
        answers(site)
    assert any(QUESTION.encode() in frame for frame in frames)
    assert any(b"POST /worker_generate" in frame for frame in frames)


def test_half_a_fleet_is_refused_before_anything_changes(site):
    runner = turn(site, True, "--limit", "gpu01")
    assert runner.rc != 0 and changed(runner) == []
    assert "fleet_tls would be turned on" in words(runner) and "but not on ctl01" in words(runner)


def test_a_rehearsal_on_hosts_that_have_nothing_of_it_is_clean(site):
    runner = turn(site, True, "--check", "--diff")
    assert runner.rc == 0, words(runner)
    assert not AUTHORITY.exists() and site.on("ctl01", "ls", "/etc/fastchat-tls", check=False) == ""


def test_it_is_turned_on_under_a_running_answer_and_no_key_is_said(site):
    answer = Streaming(site, "alice")
    answer.start()
    time.sleep(2)
    runner = turn(site, True, "-vvv", "--diff")
    assert runner.rc == 0, words(runner)
    assert "PRIVATE" not in runner.stdout.read()
    answer.join(TIMEOUT)
    assert answer.said[0] == 200 and answer.said[1].endswith("data: [DONE]\n\n")
    assert (AUTHORITY / "ca.key").stat().st_mode & 0o777 == 0o600
    for host in ("ctl01", "gpu01"):
        assert site.on(host, "stat", "--format=%a %U", "/etc/fastchat-tls/key.pem") == "600 fastchat-tls"


def test_a_chat_is_answered_and_nothing_on_the_wire_can_be_read(site):
    with wire("gpu01") as frames:
        answers(site)
    assert len([frame for frame in frames if b"\x17\x03\x03" in frame]) > 20, "TLS records"
    readable = (b"HTTP/1", QUESTION.encode(), b"worker_generate", b"Paris", b"model_names")
    assert [frame for frame in frames if any(word in frame for word in readable)] == []


def test_a_second_run_changes_nothing(site):
    for arguments in ([], ["--check", "--diff"], ["--limit", "gpu01"]):
        runner = turn(site, True, *arguments)
        assert runner.rc == 0, words(runner)
        assert changed(runner) == []


def test_a_member_without_a_certificate_gets_nothing(site):
    own = ["/etc/fastchat-tls/cert.pem", "/etc/fastchat-tls/key.pem"]
    assert ask_port(site, "tls", *own) == "HTTP/1.1 200 OK"
    site.on("ctl01", "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=ctl01", "-addext", "subjectAltName=DNS:member.fastchat-fleet.internal",
            "-out", "/etc/fastchat-tls/other.crt", "-keyout", "/etc/fastchat-tls/other.key")  # fmt: skip
    site.on("ctl01", "chown", "fastchat-tls", "/etc/fastchat-tls/other.key")
    # A certificate that the same CA signed for another purpose makes no member either.
    request = site.on("ctl01", "openssl", "req", "-new", "-key", "/etc/fastchat-tls/other.key", "-subj", "/CN=ctl01")
    command = ["openssl", "x509", "-req", f"-CA={AUTHORITY}/ca.crt", f"-CAkey={AUTHORITY}/ca.key", "-set_serial=1"]
    signed = subprocess.run(command, input=request, check=True, capture_output=True, text=True).stdout
    site.on("ctl01", "tee", "/etc/fastchat-tls/signed.crt", stdin=signed)
    others = [(f"/etc/fastchat-tls/{name}.crt", "/etc/fastchat-tls/other.key") for name in ("other", "signed")]
    for kind, *pair in (("plain",), ("tls",), *(("tls", *pair) for pair in others)):
        assert ask_port(site, kind, *pair) in ("ConnectionResetError", "SSLError", "SSLEOFError", "nothing"), (
            kind,
            pair,
        )
    code = "import socket\ntry: socket.create_connection(('gpu01', 21070), 5)\nexcept OSError as error: print(error)\n"
    assert "refused" in site.on("ctl01", "python3", "-c", code), "stunnel's own port, past the redirection"


def test_an_outsider_reaches_no_more_than_before(site):
    assert site.open_ports("outsider", "ctl01") == [22, 443]
    assert site.open_ports("outsider", "gpu01") == [22]


def test_certificates_and_the_ca_are_exchanged_under_a_running_answer(site):
    before, was = {host: issuer_key(site, host) for host in ("ctl01", "gpu01")}, (stunnel(site), stunnel(site, "gpu01"))
    answer = Streaming(site, "alice")
    answer.start()
    time.sleep(2)
    runner = turn(site, True, fleet_tls_renew_days=366)
    assert runner.rc == 0, words(runner)
    assert sorted(host for host, task in changed(runner) if task == "Member | Take it") == ["ctl01", "gpu01"]
    for name in ("ca.crt", "ca.key"):
        (AUTHORITY / name).rename(AUTHORITY / f"old-{name}")
    refused = turn(site, True, "--limit", "gpu01")
    assert refused.rc != 0 and "get another CA" in words(refused)
    runner = turn(site, True)
    assert runner.rc == 0, words(runner)
    answer.join(TIMEOUT)
    assert answer.said[0] == 200 and answer.said[1].endswith("data: [DONE]\n\n")
    assert (stunnel(site), stunnel(site, "gpu01")) == was
    for host in ("ctl01", "gpu01"):
        assert issuer_key(site, host) != before[host]
        assert site.on(host, "grep", "--count", "BEGIN", "/etc/fastchat-tls/ca.pem") == "1", "the old CA is forgotten"
    answers(site)


def test_it_outlives_a_reboot(site):
    fleet.podman("restart", "--time", "60", f"{fleet.prefix(FLEET)}-gpu01")
    fleet.wait_booted(f"{fleet.prefix(FLEET)}-gpu01")
    deadline = time.monotonic() + 300
    while site.ask(site.chat())[0][0] != 200:
        assert time.monotonic() < deadline, "the worker does not come back"
    with wire("gpu01") as frames:
        answers(site)
    assert frames and not [frame for frame in frames if b"HTTP/1" in frame]


def test_it_is_turned_off_again_and_leaves_nothing(site):
    refused = turn(site, False, "--limit", "gpu01")
    assert refused.rc != 0 and "fleet_tls would be turned off" in words(refused)
    answer = Streaming(site, "alice")
    answer.start()
    time.sleep(2)
    runner = turn(site, False)
    assert runner.rc == 0, words(runner)
    answer.join(TIMEOUT)
    assert answer.said[0] == 200 and answer.said[1].endswith("data: [DONE]\n\n")
    for host in ("ctl01", "gpu01"):
        assert site.on(host, "nft", "list", "tables") == "table inet fastchat"
        assert (
            site.on(host, "sh", "-c", "ls -d /etc/fastchat-tls* /etc/systemd/system/fastchat-tls*", check=False) == ""
        )
    with wire("gpu01") as frames:
        answers(site)
    assert any(QUESTION.encode() in frame for frame in frames)
    runner = turn(site, False)
    assert runner.rc == 0 and changed(runner) == []
