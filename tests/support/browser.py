"""A headless Chromium, told what to do over its DevTools protocol, and a tab of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.sync.client import ClientConnection, connect

from faust_grpc.testing import ChildProcess, wait_until

from .chromium import chromium

__all__ = ["Browser", "Tab"]

#: How long the browser may take for an answer.
ANSWER_SECONDS = 30.0


class Browser(ChildProcess):
    """A browser with a profile of its own, which ends with it.

    Arguments:
        directory: for its profile and its log.
    """

    def __init__(self, directory: Path) -> None:
        found, profile = chromium(), directory / "profile"
        super().__init__(
            [
                found.program,
                "--headless",
                # Containers have neither user namespaces nor a /dev/shm of any size.
                *("--no-sandbox", "--disable-dev-shm-usage"),
                *("--disable-gpu", "--disable-software-rasterizer"),
                # Nothing but what a page asks for goes out.
                *("--disable-background-networking", "--disable-component-update"),
                *("--no-first-run", "--no-proxy-server", "--hide-scrollbars"),
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
            ],
            log=directory / "browser.log",
            env={"HOME": str(directory), **found.env},
            name="Chromium",
        )
        self.address = ""

    def start(self) -> None:
        """Start it and wait until it listens."""
        super().start()
        self.address = self.wait_for_line(r"^DevTools listening on (ws://\S+)$")[1]

    def tab(self) -> Tab:
        """Return a new tab, which remembers what its pages did. A context manager."""
        # No pings: what comes meanwhile waits until the next call.
        return Tab(connect(self.address, max_size=None, ping_interval=None))


class Tab:
    """A tab: what a person sees and does, and what the page asks for and complains about.

    Arguments:
        connection: to the browser.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._last = 0
        self._session: str | None = None
        #: Addresses that were asked for.
        self.requests: list[str] = []
        #: What a developer would see in red in the console.
        self.complaints: list[str] = []
        #: What the page asked or told in dialogs, and what is answered; unasked for is refused.
        self.dialogs: list[str] = []
        self.answers: list[str] = []
        self._target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Tab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._session = None
        self.call("Target.closeTarget", targetId=self._target)
        self._connection.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol; return its result."""
        number = self._send(method, parameters)
        while True:
            told = json.loads(self._connection.recv(timeout=ANSWER_SECONDS))
            if told.get("id") == number:
                assert "error" not in told, f"{method}: {told}"
                return dict(told["result"])
            if "method" in told:
                self._hear(told["method"], told["params"])

    def open(self, url: str) -> None:
        """Go to a page and wait until it is there, its script run."""
        failed = self.call("Page.navigate", url=url).get("errorText")
        assert not failed, f"{url}: {failed}"
        wait_until(
            lambda: self.run("document.readyState === 'complete' && location.href") == url,
            ANSWER_SECONDS,
            f"{url} in the browser",
        )

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        told = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, f"{expression}: {told['exceptionDetails']}"
        return told["result"].get("value")

    def wait_until(self, condition: Callable[[], object], seconds: float, what: str) -> None:
        """Wait for a condition, and hear meanwhile what the page does and asks.

        Raises:
            NotReady: it did not hold in time.
        """
        wait_until(lambda: self.run("true") and condition(), seconds, what)

    def text(self, selector: str = "body") -> str:
        """Return what can be read in an element; nothing when there is none."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def texts(self, selector: str) -> list[str]:
        """Return what can be read in all such elements."""
        return list(self.run(f"[...{_all(selector)}].map(found => found.innerText)"))

    def count(self, selector: str) -> int:
        """Return how many such elements there are."""
        return int(self.run(f"{_all(selector)}.length"))

    def see(
        self, width: int, height: int = 800, *, dark: bool = False, phone: bool = False
    ) -> None:
        """Set the size of the window in CSS pixels, and the colour scheme of the system."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def click(self, selector: str, *answers: str) -> None:
        """Press the mouse where the first such element is.

        Arguments:
            selector: of the element, which must be what is seen there.
            answers: to the dialogs that come of it.
        """
        self.answers += answers
        place = self.run(
            f"""(() => {{
                const found = document.querySelector({json.dumps(selector)});
                found.scrollIntoView({{block: "center"}});
                const box = found.getBoundingClientRect();
                const x = box.x + box.width / 2, y = box.y + box.height / 2;
                return found.contains(document.elementFromPoint(x, y)) ? {{x, y}} : null;
            }})()"""
        )
        assert place, f"{selector} cannot be seen"
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a picture."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        self._last += 1
        said = {"id": self._last, "method": method, "params": parameters}
        self._connection.send(
            json.dumps(said if self._session is None else {**said, "sessionId": self._session})
        )
        return self._last

    def _hear(self, event: str, told: dict[str, Any]) -> None:
        match event:
            # An address that holds what it stands for is asked of nobody.
            case "Network.requestWillBeSent" if not told["request"]["url"].startswith("data:"):
                self.requests.append(told["request"]["url"])
            case "Runtime.exceptionThrown":
                details = told["exceptionDetails"]
                self.complaints.append(details.get("exception", details).get("description", ""))
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
                self.complaints.append(str(told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
                self.complaints.append(told["entry"]["text"])
            case "Page.javascriptDialogOpening":
                self.dialogs.append(told["message"])
                answer = self.answers.pop(0) if self.answers else None
                self._send(
                    "Page.handleJavaScriptDialog",
                    {"accept": answer is not None, "promptText": answer or ""},
                )


def _all(selector: str) -> str:
    return f"document.querySelectorAll({json.dumps(selector)})"
