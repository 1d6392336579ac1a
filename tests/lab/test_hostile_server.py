"""A server that fills every byte it controls with an attack, from the wire to what people open: nothing of it runs."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from sse_check.pipeline import Checked, check, publish
from sse_check.reportdir import ReportDir
from sse_check.scenario import Probe, Scenario, Until
from tests.hostile.attacks import ATTACKS as ALL
from tests.hostile.attacks import SCRIPTS
from tests.support.browser import DESKTOP, PHONE, Device, chromium, shown
from tests.support.github_markdown import draw, write_page
from tests.support.servers import chunk, raw_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.lab

LONG: Final = 1_000_000
# What a browser would run, and what else would be markup; the others are read in test_exits.
ATTACKS: Final = {
    **{name: ALL[name].decode() for name in (*SCRIPTS, "fences", "mention", "HTML", "HTML comment", "template", "closing tags", "diagram")},
    "very long": "<b>" * (LONG // 3),
}


def answer(text: str) -> bytes:
    """A response whose status line, headers, events and comments are all this text, as far as HTTP lets it through."""
    line = text.replace("\n", " ").encode()
    # aiohttp takes heads of 8 kB: of the long text a head has the beginning.
    head, field = line[:2_000], text.replace("\n", "\ndata: ").encode()
    body = b"".join(
        b"event: %s\nid: %s\ndata: %s\nretry: %s\n\n: %s\n" % (line, line + b"%d" % number, field, line, line) for number in range(3)
    )
    lines = [b"HTTP/1.1 200 " + head, b"Content-Type: text/event-stream;x=" + head, b"Server: " + head, b"Via: 1.1 " + head]
    lines += [b"X-Instance: " + head, b"Set-Cookie: " + head + b"=1", b"Transfer-Encoding: chunked"]
    return b"\r\n".join(lines) + b"\r\n\r\n" + chunk(body) + chunk(b"")


async def checked(text: str) -> Checked:
    """A run against such a server; it sends a redirect to the text first, and answers another request with an error page of it."""
    line = text.replace("\n", " ").encode()[:2_000]

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        if request.startswith(b"GET /stream"):
            writer.write(answer(text))
        elif request.startswith(b"GET /error"):
            writer.write(b"HTTP/1.1 500 " + line + b"\r\nConnection: close\r\n\r\n" + text.encode())
        else:
            writer.write(b"HTTP/1.1 307 x\r\nLocation: " + line + b"\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(serve) as base:
        until = Until(duration=20.0)  # the server ends the response long before
        probes = tuple(Probe(name=f"{path} {text[:150]}", url=base + path, until=until) for path in ("/stream", "/error", "/elsewhere"))
        run = await check(Scenario(version=1, name=text[:200], probes=probes, follow_up=False))
    assert [r.total_events for r in run.result.test_results] == [3, 0, 0]  # the attack came through
    return run


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report directory of a run against each attack; the runs are over before the browser starts."""
    made = {}
    for name, text in ATTACKS.items():
        directory = made[name] = tmp_path_factory.mktemp("reports")
        with ReportDir(directory) as report_dir:
            publish(asyncio.run(checked(text)), report_dir)
        write_page((directory / "summary.md").read_text(encoding="utf-8"), directory / "summary.html")
    return made


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=lambda device: device.name)
def test_nothing_that_a_server_sends_runs_in_the_page(reports: dict[str, Path], browser: "Browser", name: str, device: Device):
    """
    No script of the server's runs, nothing is asked of anybody, the policy has nothing to complain of, and the charts are there.
    """
    with shown(browser, reports[name] / "report.html", device) as page:
        for element in page.page.locator("details > summary").all():
            element.click()

        assert page.evaluate("() => window.marked") is None
        assert page.untoward == []
        assert page.console == []
        assert page.evaluate("() => document.querySelectorAll('.u-wrap canvas').length") >= 1
        assert page.evaluate("() => [...document.links].filter((a) => !/^(https:|file:.*#|#)/.test(a.href)).length") == 0
        assert page.overflow() == 0
        assert (reports[name] / "report.html").stat().st_size < 5_000_000


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_that_a_server_sends_runs_in_the_summary(reports: dict[str, Path], browser: "Browser", name: str):
    """
    The same for what GitHub makes of the summary: no script, no request, no link of the server's; its diagram is drawn.
    """
    with shown(browser, reports[name] / "summary.html") as page:
        diagrams = draw(page, 11, "light")

        assert [diagram.error for diagram in diagrams if diagram.error] == []
        assert page.evaluate("() => window.marked") is None
        assert page.untoward == []
        assert page.evaluate("() => [...document.links].filter((a) => !a.href.startsWith('https://')).length") == 0
        assert page.evaluate("() => [...document.links].filter((a) => /evil/.test(a.href)).length") == 0
        assert (reports[name] / "summary.md").read_text(encoding="utf-8").startswith("### ")
