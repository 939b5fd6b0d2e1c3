"""A headless Chromium that a test drives over its own pipe, by the DevTools protocol."""

import contextlib
import json
import os
import select
import subprocess
import time
from pathlib import Path

SECONDS = 60
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --remote-debugging-pipe"
)

# The texts of a page whose contrast is below 4.5 (WCAG 2, AA), with the ratio.
TOO_PALE = """
(() => {
  const light = colour => {
    const part = colour.match(/[\\d.]+/g).slice(0, 3).map(one => one / 255)
      .map(one => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
  };
  const behind = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!colour.endsWith(", 0)") && colour.startsWith("rgb")) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = "h1, h2, h3, p, li, th, td, a, summary, button, label, .on, .chip, .phase, .pill, .diff span, "
    + "b, strong, code, .state";
  return [...document.querySelectorAll(texts)]
    .filter(one => one.checkVisibility() && one.textContent.trim())
    .map(one => {
      const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), one.className + ": " + one.textContent.slice(0, 40)];
    }).filter(([ratio]) => ratio < 4.5);
})()
"""


class Browser:
    """One page of Chromium. ``events`` are all that it told, in their order."""

    def __init__(self, profile: Path, *flags: str) -> None:
        """Start it, with more flags; its descriptors 3 and 4 are the pipe."""
        theirs_in, self.out = os.pipe()
        self.into, theirs_out = os.pipe()
        shell = f'exec chromium {FLAGS} --user-data-dir="$1" "${{@:2}}" 3<&{theirs_in} 4>&{theirs_out}'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "chromium", profile, *flags],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.events: list[dict] = []
        self.rest, self.number, self.session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Network", "Page"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError, AssertionError):
            self.session = None
            self.call("Browser.close")
        for descriptor in (self.into, self.out):
            os.close(descriptor)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def message(self, deadline: float) -> dict:
        """Return the next message."""
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.into], [], [], max(deadline - time.monotonic(), 0))
            assert ready, "the browser does not answer"
            more = os.read(self.into, 1 << 20)
            assert more, "the browser has ended"
            self.rest += more
        text, _, self.rest = self.rest.partition(b"\0")
        return json.loads(text)

    def call(self, method: str, **parameters: object) -> dict:
        """Ask for something and return its result."""
        self.number += 1
        asked = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            asked["sessionId"] = self.session
        os.write(self.out, json.dumps(asked).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            told = self.message(deadline)
            if told.get("id") == self.number:
                assert "error" not in told, f"{method}: {told['error']}"
                return told["result"]
            self.events.append(told)

    def until(self, method: str) -> None:
        """Wait for an event."""
        deadline = time.monotonic() + SECONDS
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.message(deadline))

    def show(self, page: Path | str, width: int = 1280, dark: bool = False) -> None:
        """Load a file or a URL, at a width, and wait until it is loaded; what was told before is forgotten."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=page if isinstance(page, str) else page.absolute().as_uri())
        self.until("Page.loadEventFired")

    def value(self, script: str) -> object:
        """Return the value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, key: str, text: str = "") -> None:
        """Press a key and let it go."""
        codes = {"Tab": 9, "Enter": 13}
        common = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def told(self, method: str) -> list[dict]:
        """Return the parameters of all events of a kind."""
        return [event["params"] for event in self.events if event.get("method") == method]
