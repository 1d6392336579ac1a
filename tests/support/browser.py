"""A real browser, for what people see: Debian's Chromium, driven by Playwright, with no way to the network.

    with chromium() as browser, shown(browser, path, PHONE, "dark") as page:
        page.screenshot(directory / "phone-dark.png")
        assert page.untoward == []

`make test` imports this too and has no Playwright, so that is imported where the browser is started.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from tests.lab.proxies import NODE_MODULES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Dialog, FloatRect, Page, Route

Scheme = Literal["light", "dark"]
# As axe-core rates a violation.
Impact = Literal["minor", "moderate", "serious", "critical"]

_AXE: Final = NODE_MODULES / "axe-core" / "axe.min.js"
# A page that has not come to rest by then never does.
_PATIENCE_MS: Final = 30_000
_AXE_RUN: Final = """async () => (await axe.run(document)).violations.map(
    (v) => ({rule: v.id, impact: v.impact, help: v.help, where: v.nodes.map((n) => n.target.join(" "))})
)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a page is seen on: the viewport in CSS pixels, and how many of the device's make one of them."""

    name: str
    width: int
    height: int
    scale: int = 1
    touch: bool = False


PHONE: Final = Device(name="phone", width=390, height=844, scale=2, touch=True)
DESKTOP: Final = Device(name="desktop", width=1280, height=900)
DEVICES: Final = (PHONE, DESKTOP)
SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A rule of accessibility that a page breaks, and the elements that break it as CSS selectors."""

    rule: str
    impact: Impact
    help: str
    where: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A page in the browser, and everything it did. `page` is Playwright's, for what is not here (keyboard, mouse, locators).

    `console` has every message as `level: text`, `errors` what no script caught, `requests` each URL that it asked for beside
    its own (none of them was answered), `opened` the dialogs and windows.
    """

    page: "Page"
    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)

    @property
    def untoward(self) -> list[str]:
        """What a page that stands alone does not do: complain, fail, reach for the network, open something."""
        complaints = [message for message in self.console if message.startswith(("error: ", "warning: "))]
        return [*complaints, *self.errors, *self.requests, *self.opened]

    def evaluate(self, script: str, argument: object = None) -> Any:
        """What an expression or a function comes to in the page, as JSON; also under a Content-Security-Policy that allows no script."""
        return self.page.evaluate(script, argument)

    def load(self, script: Path) -> None:
        """A script file, as if it stood in the page; DevTools may do so whatever the page's Content-Security-Policy says."""
        session = self.page.context.new_cdp_session(self.page)
        outcome = session.send("Runtime.evaluate", {"expression": script.read_text(encoding="utf-8")})
        session.detach()
        assert "exceptionDetails" not in outcome, outcome["exceptionDetails"]

    def press(self, *keys: str) -> None:
        """Keys one after the other, by their names (`Tab`, `Shift+Tab`, `ArrowRight`)."""
        for key in keys:
            self.page.keyboard.press(key)

    def drag(self, start: tuple[float, float], end: tuple[float, float], steps: int = 8) -> None:
        """The mouse, held from one point of the viewport to another."""
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(*end, steps=steps)
        mouse.up()

    def screenshot(self, path: Path, height: int | None = None) -> None:
        """The page as PNG: the whole of it, or so many CSS pixels from its top."""
        clip: FloatRect | None = None if height is None else {"x": 0, "y": 0, "width": self.evaluate("() => innerWidth"), "height": height}
        self.page.screenshot(path=path, full_page=True, animations="disabled", clip=clip)

    def overflow(self) -> int:
        """By how many CSS pixels the page is wider than the device: more than none, and people must scroll sideways to read."""
        return int(self.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def violations(self, *impacts: Impact) -> list[Violation]:
        """What axe-core finds, of these impacts only if any are given."""
        self.load(_AXE)
        found = [Violation(**{**each, "where": tuple(each["where"])}) for each in self.evaluate(_AXE_RUN)]
        return [violation for violation in found if not impacts or violation.impact in impacts]


@contextmanager
def chromium() -> Iterator["Browser"]:
    """One Chromium without a window. Its tests must not be async: Playwright's loop belongs to this thread meanwhile."""
    from playwright.sync_api import sync_playwright  # see above

    program = shutil.which("chromium")
    assert program is not None, "chromium is not installed: run .ci/install-lab"
    with sync_playwright() as playwright:
        # What asks for no URL that can be refused (a DNS prefetch, a WebSocket) finds no host either.
        browser = playwright.chromium.launch(executable_path=program, args=["--host-resolver-rules=MAP * ~NOTFOUND", "--disable-quic"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def shown(browser: "Browser", path: Path, device: Device = DESKTOP, scheme: Scheme = "light") -> Iterator[Shown]:
    """A file as a page on a device, in a profile of its own; it is loaded, and nothing else is."""
    context = browser.new_context(
        viewport={"width": device.width, "height": device.height},
        device_scale_factor=device.scale,
        is_mobile=device.touch,
        has_touch=device.touch,
        color_scheme=scheme,
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    context.set_default_timeout(_PATIENCE_MS)
    try:
        seen = Shown(context.new_page())
        url = path.resolve().as_uri()
        _watch(context, seen, url)
        seen.page.goto(url)
        yield seen
    finally:
        context.close()


def _watch(context: "BrowserContext", seen: Shown, url: str) -> None:
    def answer(route: "Route") -> None:
        if route.request.url.partition("#")[0] == url and route.request.is_navigation_request():
            route.continue_()
        else:
            seen.requests.append(route.request.url)
            route.abort()

    def dismiss(dialog: "Dialog") -> None:
        seen.opened.append(f"{dialog.type} {dialog.message}")
        dialog.dismiss()

    context.route("**/*", answer)
    page = seen.page
    page.on("console", lambda message: seen.console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("websocket", lambda socket: seen.requests.append(socket.url))
    page.on("popup", lambda popup: seen.opened.append(f"window {popup.url}"))
    page.on("dialog", dismiss)
