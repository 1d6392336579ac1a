"""report.html in a real browser: it stands alone, complains of nothing, fits the device, and everybody can read it."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.pictures import RUNS, report_of, take
from tests.support.browser import DESKTOP, DEVICES, PHONE, SCHEMES, Device, Scheme, chromium, shown

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.lab

every_run = pytest.mark.parametrize("run", RUNS)
every_device = pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
both_schemes = pytest.mark.parametrize("scheme", SCHEMES)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The report directory of a run, made once."""
    directory = tmp_path_factory.mktemp("reports")
    return cache(lambda run: report_of(run, directory))


@every_run
@every_device
@both_schemes
def test_the_page_stands_alone(browser: "Browser", report: Callable[[str], Path], run: str, device: Device, scheme: Scheme):
    """
    No message on the console, no request, nothing that opens; it is no wider than the device, and nothing of it is hard to use or to see.
    """
    with shown(browser, report(run) / "report.html", device, scheme) as page:
        violations = page.violations("serious", "critical")

        assert page.console == []
        assert page.untoward == []
        assert page.overflow() == 0
        assert violations == []


@every_run
def test_the_page_names_the_answer_first(browser: "Browser", report: Callable[[str], Path], run: str):
    """
    A language, a title, one heading of the first order, and a page that says all of it without any script.
    """
    with shown(browser, report(run) / "report.html", PHONE) as page:
        assert page.evaluate("() => [document.documentElement.lang, document.querySelectorAll('h1').length]") == ["en", 1]
        assert page.page.title() != ""
        heading = page.page.locator("h1").bounding_box()

    assert heading is not None
    assert heading["y"] < PHONE.height / 2


def test_every_control_is_reached_by_keyboard(browser: "Browser", report: Callable[[str], Path]):
    """
    Tab goes through all that can be clicked, each once, and comes to an end: no trap, nothing for the mouse alone.
    """
    with shown(browser, report("buffered") / "report.html", DESKTOP) as page:
        controls = page.evaluate(
            """() => [...document.querySelectorAll("a[href], button, summary, input, select, textarea, [tabindex]")]
                .filter((e) => e.tabIndex >= 0 && !e.disabled && e.checkVisibility()).length"""
        )
        reached = set()
        for _ in range(controls + 1):
            page.press("Tab")
            reached.add(
                page.evaluate(
                    """() => document.activeElement === document.body ? -1
                        : [...document.querySelectorAll("*")].indexOf(document.activeElement)"""
                )
            )

    assert len(reached - {-1}) == controls > 0


def test_pictures_are_taken_of_a_run(browser: "Browser", report: Callable[[str], Path], tmp_path: Path):
    """
    The summary with both versions of Mermaid and the page, each on a phone and a desk, light and dark; a phone's picture has its pixels.
    """
    taken = list(take(browser, "buffered", report("buffered"), tmp_path))

    assert [path.name for path in taken] == [
        f"buffered-{what}-{device.name}-{scheme}.png"
        for what in ("summary-mermaid10", "summary-mermaid11", "html")
        for device in DEVICES
        for scheme in SCHEMES
    ]
    for path in taken:
        width = int.from_bytes(path.read_bytes()[16:20], "big")  # PNG (Third Edition), section 11.2.1: the width in IHDR
        assert width == (PHONE.width * PHONE.scale if "-phone-" in path.name else DESKTOP.width), path.name
