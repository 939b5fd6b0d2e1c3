"""The page carries a chat, says when no worker serves, keeps only what it may, and hides gradio's other routes."""

import base64
import json

import pytest

from testbed.containers import runs

# Does what a browser does, with gradio's own client: loads the page, asks, reads the answer as it is streamed.
CHAT = """
import sys
from gradio_client import Client
head = {"Authorization": sys.argv[3]} if len(sys.argv) > 3 else {}
page = Client(sys.argv[1], verbose=False, ssl_verify=False, headers=head)
models = page.predict({}, api_name="/load_demo")["choices"]
print("models", [name for name, _value in models])
try:
    page.predict(sys.argv[2], "What is the capital of France?", api_name="/add_text")
    print("answer", page.predict(0.0, 1.0, 60, api_name="/bot_response")[-1][1])
except Exception as error:
    print("refused", error)
"""
FETCH = """
import sys, urllib.request, urllib.error
for path in sys.argv[2:]:
    try:
        answer = urllib.request.urlopen(sys.argv[1] + path, timeout=20)
        print(answer.status, path, answer.headers["content-security-policy"])
    except urllib.error.HTTPError as error:
        print(error.code, path, error.headers["content-security-policy"])
"""
# The page is open while its workers leave; the controller's own routes stand in for hosts that go.
ALONE = """
import json, sys, time, urllib.request
from gradio_client import Client
url, model, controller = sys.argv[1:]
def ask(path, **body):
    head = {"Content-Type": "application/json"}
    data = json.dumps(body).encode() if path != "/fleet" else None
    return json.load(urllib.request.urlopen(urllib.request.Request(controller + path, data, head), timeout=20))
workers = list(ask("/fleet")["workers"])
page = Client(url, verbose=False)
page.predict({}, api_name="/load_demo")
try:
    for worker in workers:
        ask("/fleet/leave", worker=worker, why="a test")
    page.predict(model, "Is anybody there?", api_name="/add_text")
except Exception as error:
    print("refused", error)
finally:
    for worker in workers:
        ask("/fleet/join", worker=worker)
for _ in range(60):
    there = json.load(urllib.request.urlopen(url + "/fleet", timeout=20))["models"]
    if there:
        break
    time.sleep(1)
print("models", *there)
"""
READ = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())"
MODEL = "smollm2-demo"


def address(site):
    listening = site.on("ctl01", "ss", "--listening", "--tcp", "--numeric", "--no-header", "sport = 7860").split()
    return f"http://{listening[3]}"


def test_it_binds_to_the_fleet_s_address_alone(site):
    listening = site.on("ctl01", "ss", "--listening", "--tcp", "--numeric", "--no-header", "sport = 7860")
    assert len(listening.splitlines()) == 1
    assert address(site).split("/")[-1].startswith("10."), listening


def test_a_chat_goes_in_and_the_right_answer_comes_out(site):
    said = site.page(CHAT, address(site), MODEL)
    assert f"models ['{MODEL}']" in said
    # The answer is greedy, the model goes by the name that the worker gives it, and the answer ends by itself.
    assert "answer The capital of France is Paris." in said.splitlines(), said


def test_the_same_through_the_gateway_with_a_key_and_not_without(site):
    basic = "Basic " + base64.b64encode(f"demo:{site.key()}".encode()).decode()
    said = site.page(CHAT, "https://ctl01/chat/", MODEL, basic)
    assert "answer The capital of France is Paris." in said.splitlines(), said
    with pytest.raises(RuntimeError, match="AuthenticationError"):
        site.page(CHAT, "https://ctl01/chat/", MODEL, "Basic ZGVtbzp3cm9uZw==")


def test_nothing_of_it_is_kept_or_logged(site):
    journal = site.on("ctl01", "journalctl", "--no-pager", "--unit=fastchat-web")
    assert "the page is at http://" in journal
    assert "capital of France" not in journal and "Paris" not in journal
    # The verdict has the question that verify asked.
    options = ("--recursive", "--files-with-matches", "--exclude=verdict.json")
    kept = site.on("ctl01", "grep", *options, "capital of France", "/var/lib/fastchat", check=False)
    assert kept == ""


def test_the_page_loads_from_its_own_server_alone_and_shows_no_files(site):
    page = site.page(READ, address(site))
    assert "Chat with Open Large Language Models" in page
    tags = [tag.split(">")[0] for tag in page.split("<")[1:]]
    elsewhere = [tag for tag in tags if tag.startswith(("script", "link", "img")) and "http" in tag]
    assert elsewhere == []
    config = json.loads(page.split("window.gradio_config = ")[1].split(";</script>")[0])
    assert config["stylesheets"] == [] and config["analytics_enabled"] is False
    closed = [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/upload",
        "/file=/etc/passwd",
        "/gradio_api/proxy=https://x.hf.space/",
    ]
    lines = site.page(FETCH, address(site), "/", "/fleet", *closed).splitlines()
    assert [line.split()[0] for line in lines] == ["200", "200", *["404"] * len(closed)]
    assert all("default-src 'self'" in line for line in lines)


def test_without_a_worker_it_says_so_and_goes_on_when_there_is_one(site):
    said = site.page(ALONE, address(site), MODEL, "http://ctl01:21001").splitlines()
    assert [line for line in said if line.startswith("refused") and f"No worker serves {MODEL} now" in line], said
    assert said[-1] == "models " + MODEL, said


def test_a_second_run_changes_nothing(site):
    runner = site.run("--tags=services")
    assert runner.rc == 0, runs.words(runner)
    assert [task for host, task in runs.changed(runner) if host == "ctl01"] == []


def test_conversations_are_kept_where_asked_for(site):
    runner = site.run("--tags=services", playbook="playbooks/serve.yml", fastchat_web_keep_conversations=True)
    assert runner.rc == 0, runs.words(runner)
    assert "Paris" in site.page(CHAT, address(site), MODEL)
    folder, *files = site.on(
        "ctl01", "sh", "-c", "stat -c '%a %U %n' /var/lib/fastchat/conversations /var/lib/fastchat/conversations/*"
    ).splitlines()
    assert folder.startswith("700 fastchat ")
    assert len(files) == 1 and files[0].startswith("600 fastchat ") and files[0].endswith("-conv.json")
    (line,) = site.on("ctl01", "sh", "-c", "cat /var/lib/fastchat/conversations/*-conv.json").splitlines()
    kept = json.loads(line)
    assert kept["model"] == MODEL and "Paris" in json.dumps(kept["state"]["messages"])


def test_its_environment_goes_back_by_itself(site):
    """A rollback of the page's environment does not take the stack's, although there is one."""
    assert site.on("ctl01", "ls", "/opt/fastchat/envs")
    runner = site.run(playbook="playbooks/rollback.yml", rollback_what="web")
    assert runner.rc != 0
    assert "/opt/fastchat/web-envs has no environment besides web-" in runs.words(runner)
