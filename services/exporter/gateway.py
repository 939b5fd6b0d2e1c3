"""Ask through each gateway as a client does, again and again, and read until when its certificate is valid."""

import http.client
import json
import os
import ssl
import threading
import time
import urllib.parse

from .families import gauge

SECONDS = 60  # for one answer
PARTIAL_CHAIN = 0x80000  # X509_V_FLAG_PARTIAL_CHAIN: the certificate itself is trusted, whoever signed it
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME: a certificate that has ended is to be read as well
UNAUTHORIZED, OK = 401, 200


def trusting(certificate):
    """Return a context that trusts one certificate (PEM) and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate itself is the name
    context.load_verify_locations(cadata=certificate)
    context.verify_flags |= PARTIAL_CHAIN
    return context


def certificate_ends(host, port, seconds=5):
    """Return until when (seconds since 1970) the certificate at an address is valid; raise OSError without one."""
    # It is fetched without trust, and read by a second handshake that trusts exactly it. Nothing secret is sent.
    shown = ssl.get_server_certificate((host, port))
    context = trusting(shown)
    context.verify_flags |= NO_CHECK_TIME
    link = http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
    try:
        link.connect()
        return ssl.cert_time_to_seconds(link.sock.getpeercert()["notAfter"])
    finally:
        link.close()


def answer_fault(host, port, key, certificate, seconds=SECONDS):
    """Return '' when a gateway answers, else the reason.

    With a key it must generate one token by the first model that it lists; without one it must refuse us.
    """
    context = trusting(certificate) if key else ssl._create_unverified_context()  # noqa: S323  (nothing is sent there)
    link = http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
    head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"} if key else {}
    try:
        link.request("GET", "/v1/models", headers=head)
        answer = link.getresponse()
        body = answer.read()
        if not key:
            return "" if answer.status == UNAUTHORIZED else f"it answers {answer.status} to a client without a key"
        models = json.loads(body)["data"] if answer.status == OK else []
        if not models:
            return f"it lists no model ({answer.status})"
        ask = {"model": models[0]["id"], "prompt": "Hello", "max_tokens": 1, "temperature": 0}
        link.request("POST", "/v1/completions", json.dumps(ask), head)
        answer = link.getresponse()
        answer.read()
        return "" if answer.status == OK else f"it answers {answer.status} to a question"
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        link.close()


def text_of(path):
    """Return the text of a file without space around it, '' when it is not there."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read().strip()
    except OSError:
        return ""


class Gateways:
    """Asks gateways ({name: URL}) every ``interval`` seconds, by a thread of its own, so that a scrape never waits."""

    def __init__(self, gateways, secrets, interval):
        """Take the addresses and the directory with the key and the certificates (NAME.pem)."""
        self.gateways, self.secrets, self.interval, self.seen = gateways, secrets, interval, {}

    def start(self):
        """Begin to ask."""
        for name, url in self.gateways.items():
            threading.Thread(target=self.watch, args=(name, url), daemon=True).start()

    def watch(self, name, url):
        """Ask one gateway for ever."""
        while True:
            self.seen[name] = self.look(name, url)
            time.sleep(self.interval)

    def look(self, name, url):
        """Return {up, seconds, ends} of one gateway; ends is None when there is no certificate to read."""
        at = urllib.parse.urlsplit(url)
        key, pinned = text_of(os.path.join(self.secrets, "key")), text_of(os.path.join(self.secrets, f"{name}.pem"))
        began = time.monotonic()
        fault = answer_fault(at.hostname, at.port or 443, key, pinned)
        seconds = time.monotonic() - began
        if fault and fault != self.seen.get(name, {}).get("fault"):
            print(f"{url}: {fault}", flush=True)
        try:
            ends = certificate_ends(at.hostname, at.port or 443)
        except OSError:
            ends = None
        return {"fault": fault, "seconds": seconds, "ends": ends}

    def collect(self):
        """Yield the families."""
        seen = sorted(self.seen.items())
        up = [({"gateway": name}, int(not one["fault"])) for name, one in seen]
        yield gauge("fastchat_gateway_up", "1 while a question through a gateway is answered.", up)
        took = [({"gateway": name}, one["seconds"]) for name, one in seen]
        yield gauge("fastchat_gateway_answer_seconds", "Seconds that the last question through a gateway took.", took)
        ends = [({"gateway": name}, one["ends"]) for name, one in seen if one["ends"] is not None]
        text = "When the certificate of a gateway ends."
        yield gauge("fastchat_gateway_certificate_expiry_timestamp_seconds", text, ends)
