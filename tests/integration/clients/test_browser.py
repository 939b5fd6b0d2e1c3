"""OpenAI's client for JavaScript in a page of another origin, in Chromium: refused unless the gateway names it."""

import base64
import functools
import hashlib
import http.server
import json
import threading

import pytest
from clients_site import MODEL, node_client
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from testbed.containers import runs
from testbed.paths import STATE
from testbed.tools import BROWSER, ensure
from tests.support.browser import Browser

ORIGINS = "fastchat_gateway_cors_origins"
# What a page of somebody's does: the npm package as it is, loaded by the browser itself.
PAGE = """<!doctype html><script type="module">
import OpenAI from "/node_modules/openai/index.mjs";
const named = (error) => ({error: error.constructor.name, status: error.status ?? null, code: error.code ?? null});
window.ask = async ({url, key, stream, ...asked}) => {
  const api = new OpenAI({baseURL: url, apiKey: key, maxRetries: 0, dangerouslyAllowBrowser: true});
  try {
    const answer = await api.chat.completions.create({...asked, stream});
    if (!stream) return {text: answer.choices[0].message.content};
    let text = "", pieces = 0;
    for await (const chunk of answer) { text += chunk.choices[0].delta.content ?? ""; pieces += 1; }
    return {text, pieces};
  } catch (error) { return named(error); }
};
</script>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the page and the package, and says nothing of it."""

    def log_message(self, *_said):
        """Say nothing."""


class Page:
    """A page on an origin of its own, open in a browser that trusts the gateway's certificate and no other."""

    def __init__(self, site, profile):
        node_client()  # brings the package
        folder = STATE / "clients-npm"
        (folder / "page.html").write_text(PAGE)
        handler = functools.partial(Quiet, directory=folder)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        certificate = x509.load_pem_x509_certificate(site.certificate.read_bytes())
        spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        known = base64.b64encode(hashlib.sha256(certificate.public_key().public_bytes(*spki)).digest()).decode()
        flags = (f"--ignore-certificate-errors-spki-list={known}", "--no-proxy-server")
        self.site, self.browser = site, Browser(profile, *flags)

    def ask(self, key="", **asked):
        """Ask for a chat from a fresh page; return what its program got."""
        self.browser.show(f"{self.origin}/page.html")
        messages = [{"role": "user", "content": "What is the capital of France?"}]
        asked = {"model": MODEL, "temperature": 0, "messages": messages, "stream": False, **asked}
        asked = {"url": self.site.url, "key": key or self.site.key(), **asked}
        return self.browser.value(f"window.ask({json.dumps(asked)})")

    def sent(self):
        """Return the methods, sorted, of what the browser sent to the gateway since the page was opened."""
        asked = [one["request"] for one in self.browser.told("Network.requestWillBeSent")]
        return sorted(one["method"] for one in asked if one["url"].startswith("https:"))

    def refused(self):
        """Return the browser's own reasons for what it did not let the page have."""
        told = self.browser.told("Network.loadingFailed")
        return [one["corsErrorStatus"]["corsError"] for one in told if "corsErrorStatus" in one]

    def close(self):
        self.browser.close()
        self.server.shutdown()


@pytest.fixture(scope="module")
def page(site, tmp_path_factory):
    ensure(BROWSER)
    opened = Page(site, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def named(site, page):
    """Have the gateway name the page's origin, and give it back its own configuration afterwards."""
    runner = site.run(playbook="playbooks/gateway.yml", **{ORIGINS: [page.origin]})
    assert runner.rc == 0, runs.words(runner)
    yield
    runner = site.run(playbook="playbooks/gateway.yml")
    assert runner.rc == 0, runs.words(runner)
    assert page.ask()["error"] == "APIConnectionError"


def test_a_page_whose_origin_nobody_named_gets_nothing(page):
    assert page.ask() == {"error": "APIConnectionError", "status": None, "code": None}
    assert page.refused() == ["PreflightMissingAllowOriginHeader"]
    assert "OPTIONS" in page.sent()


@pytest.mark.usefixtures("named")
def test_a_page_of_a_named_origin_chats(page):
    assert page.ask() == {"text": "The capital of France is Paris."}
    assert page.sent() == ["OPTIONS", "POST"] and page.refused() == []


@pytest.mark.usefixtures("named")
def test_a_page_of_a_named_origin_reads_a_stream(page):
    said = page.ask(stream=True)
    assert said["text"] == "The capital of France is Paris." and said["pieces"] > 3


@pytest.mark.usefixtures("named")
def test_a_page_of_a_named_origin_reads_errors(page):
    said = page.ask(key="sk-nobody-has-this-key-00000000")
    assert said == {"error": "AuthenticationError", "status": 401, "code": "invalid_api_key"}
    said = page.ask(model="gpt-4o")
    assert said == {"error": "NotFoundError", "status": 404, "code": "model_not_found"}
    assert page.refused() == []


@pytest.mark.usefixtures("named")
def test_another_page_is_still_refused(page):
    """The same page by another name of this machine is another origin."""
    here, page.origin = page.origin, page.origin.replace("127.0.0.1", "localhost")
    try:
        assert page.ask()["error"] == "APIConnectionError"
    finally:
        page.origin = here
    assert page.refused() == ["PreflightMissingAllowOriginHeader"]
