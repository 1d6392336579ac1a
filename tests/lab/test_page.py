"""report.html in a real browser: the charts draw, answer to mouse, keys and fingers, and nothing of it leaves the page."""

import dataclasses
import math
import random
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from sse_check.recording import Recording, from_lines
from sse_check.report.html import report_html
from sse_check.report.picture import Mark
from sse_check.report.report import build_report
from tests.support.browser import DESKTOP, DEVICES, PHONE, SCHEMES, Device, Scheme, Shown, chromium, shown
from tests.support.streams import every, probe, recording, scenario, stream
from tests.test_html import HOSTILE, run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.lab

RECORDINGS: Final = Path(__file__).parent.parent / "recordings"
SEEN: Final = ("healthy-jitter", "buffered-full", "compressed-buffered", "idle-timeout", "concurrency-limited", "refused")
RANGE: Final = re.compile(r"([\d.,]+)(m?s) to ([\d.,]+)(m?s)")

Open = Callable[..., AbstractContextManager[Shown]]


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as started:
        yield started


@pytest.fixture
def opened(browser: "Browser", tmp_path: Path) -> Open:
    """Shows the page of a recording: one of ours by its name, or an invented one."""

    def show(value: Recording | str, device: Device = DESKTOP, scheme: Scheme = "light") -> AbstractContextManager[Shown]:
        if isinstance(value, str):
            with (RECORDINGS / f"{value}.ndjson").open("rb") as lines:
                value = from_lines(lines, file=value)
        path = tmp_path / "report.html"
        path.write_bytes(report_html(build_report(value)))
        return shown(browser, path, device, scheme)

    return show


def range_of(page: Shown) -> tuple[float, float]:
    """The range that the charts show, in seconds, as the page says it."""
    match = RANGE.fullmatch(page.page.inner_text("#range"))
    assert match is not None

    def seconds(number: str, unit: str) -> float:
        return float(number.replace(",", "")) / (1000 if unit == "ms" else 1)

    return seconds(match[1], match[2]), seconds(match[3], match[4])


def inked(page: Shown, chart: str) -> int:
    """How many pixels of a chart have some colour."""
    return int(
        page.evaluate(
            """(chart) => {
                const canvas = document.querySelector(`#${chart} canvas`);
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                let count = 0;
                for (let at = 3; at < data.length; at += 4) count += data[at] > 0;
                return count;
            }""",
            chart,
        )
    )


def middle(page: Shown, chart: str) -> tuple[float, float]:
    box = page.page.locator(f"#{chart} .u-over").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
@pytest.mark.parametrize("name", SEEN)
def test_a_page_draws_and_can_be_read_by_everybody(opened: Open, name: str, device: Device, scheme: Scheme):
    """
    On a phone and on a desktop, by day and by night: the charts are there, nothing is too wide, nothing is complained of, and axe-core
    finds nothing.
    """
    with opened(name, device, scheme) as page:
        assert inked(page, "staircase") > 500
        assert inked(page, "gaps") > 200
        assert page.overflow() == 0
        assert page.violations() == []
        assert page.untoward == []


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_a_strangers_runs(opened: Open, text: str):
    """
    A page full of hostile text runs none of it, asks for nothing, opens nothing, and its charts draw.
    """
    with opened(run(text)) as page:
        assert page.evaluate("() => window.hacked") is None
        assert inked(page, "staircase") > 500
        assert page.untoward == []


def test_the_policy_holds(opened: Open):
    """
    Even a script or a style that somebody got into the page would not run.
    """
    with opened("buffered-full") as page:
        page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "window.hacked = 1";
                document.body.append(script);
                document.body.insertAdjacentHTML("beforeend", '<img src="https://example.test/x" onerror="window.hacked = 1">');
            }"""
        )
        assert page.evaluate("() => window.hacked") is None
        assert page.requests == []
        assert any("Content Security Policy" in message for message in page.console)


def test_without_a_script_everything_but_the_charts_is_there(browser: "Browser", tmp_path: Path):
    """
    Who allows no scripts reads the verdict, the cause, the cure and all tables, and is told what is missing.
    """
    path = tmp_path / "report.html"
    with (RECORDINGS / "buffered-full.ndjson").open("rb") as lines:
        path.write_bytes(report_html(build_report(from_lines(lines, file="buffered-full"))))
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    text = page.inner_text("body")
    context.close()

    assert "The charts need JavaScript" in text
    assert "X-Accel-Buffering: no" in text
    assert "11 events, all received at" in text
    assert "Zoom" not in text


def test_a_stream_is_chosen_by_the_list_and_by_its_row(opened: Open):
    """
    The list and the table's rows bring a stream into the charts: what it shows is said, and its row is marked.
    """
    with opened("concurrency-limited") as page:
        assert page.page.inner_text("#says").startswith("No event was received")

        page.page.select_option("#stream", label="✓ ten events")
        assert page.page.inner_text("#says").startswith("11 events")

        page.page.click("#streams button:has-text('three at once #2')")
        assert page.page.inner_text("#says").startswith("No event was received")
        assert "three at once #2" in page.page.inner_text("#streams tr.chosen")
        assert page.evaluate("() => document.activeElement.id") == "staircase"


def test_streams_are_laid_over_each_other(opened: Open):
    """
    What is worth comparing lies over the stream from the start, and a box takes it away; the chart's words for who cannot see it follow.
    """
    with opened("compressed-buffered") as page:
        box = page.page.get_by_role("checkbox", name="without compression")
        assert box.is_checked()
        assert "Beside it: ten events (without compression)" in str(page.page.get_attribute("#staircase", "aria-label"))

        box.uncheck()
        assert "Beside it" not in str(page.page.get_attribute("#staircase", "aria-label"))

        page.page.select_option("#over", label="✕ three at once #1")
        page.page.click("#lay")
        assert "Beside it: three at once #1" in str(page.page.get_attribute("#staircase", "aria-label"))


def test_the_run_before_lies_beside(browser: "Browser", tmp_path: Path):
    """
    Where the pictures of an earlier run are known, its stream of the same name lies over this one's from the start.
    """
    now, earlier = build_report(recording(stream([4.0] * 5))), build_report(recording(stream(every(1.0, 5))))
    path = tmp_path / "report.html"
    path.write_bytes(report_html(dataclasses.replace(now, before=earlier.pictures)))

    with shown(browser, path) as page:
        assert page.page.get_by_role("checkbox", name="wallet (the run before)").is_checked()
        assert "Beside it: wallet (the run before). 5 events, received from 100ms to 4.1s" in str(
            page.page.get_attribute("#staircase", "aria-label")
        )
        assert page.untoward == []


def test_a_finding_is_shown_on_the_chart(opened: Open):
    """
    The button at a finding brings its stream into the chart and lifts its mark out; Escape lays it back.
    """

    def drawn(page: Shown) -> str:
        page.page.wait_for_timeout(100)  # the drawing follows with the next frame
        return str(page.evaluate("() => document.querySelector('#staircase canvas').toDataURL()"))

    with opened("buffered-full") as page:
        plain = drawn(page)
        page.page.select_option("#stream", label="✕ three at once #2")
        page.page.click("#findings button[data-mark='buffered-full']")

        assert page.page.input_value("#stream") == "0"
        assert page.evaluate("() => document.activeElement.id") == "staircase"
        assert "Marked: buffered-full" in str(page.page.get_attribute("#staircase", "aria-label"))
        assert drawn(page) != plain
        page.press("Escape")
        assert drawn(page) == plain


def test_a_connection_that_the_table_has_no_room_for_comes_into_it_when_it_is_chosen(opened: Open):
    """
    Of forty streams the table of connections has thirty; the one that is chosen stands above them, until it is chosen no more.
    """
    streams = [stream(every(1.0, 3), number=n + 1, phase="concurrency") for n in range(40)]
    with opened(recording(*streams, scenario=scenario(probe(streams=40)))) as page:
        assert page.page.locator("#connections tbody tr").count() == 30

        page.page.select_option("#stream", label="✓ wallet #40")
        assert "wallet #40" in page.page.inner_text("#connections tbody tr:first-child")
        assert page.page.locator("#connections tbody tr:first-child rect").count() == 4

        page.page.select_option("#stream", label="✓ wallet #1")
        assert page.page.locator("#connections tbody tr").count() == 30
        assert page.untoward == []


@pytest.mark.parametrize("strange", [math.nan, math.inf, 1e300, -1e300])
def test_no_number_breaks_the_charts(browser: "Browser", tmp_path: Path, strange: float):
    """
    Times that are no numbers, or absurd ones, leave charts that draw, zoom and complain of nothing, also on a logarithmic axis.
    """
    (picture,) = build_report(recording(stream([0.1, 0.2, 0.3]))).pictures
    marks = (Mark(code="stalled", text="stalled", start=0.1, end=strange),)
    odd = msgspec.structs.replace(
        picture, received=(0.1, strange, 0.3), beside=(strange, 0.2, 0.3), beside_is="sent", alive=(strange,), end=strange, marks=marks
    )
    path = tmp_path / "report.html"
    path.write_bytes(report_html(dataclasses.replace(build_report(recording(stream([0.1]))), pictures=(odd,))))

    with shown(browser, path) as page:
        page.page.check("#log")
        page.page.focus("#staircase")
        page.press("+", "+", "ArrowLeft", "0")
        assert inked(page, "staircase") > 500
        assert page.untoward == []


def test_the_keys_of_a_chart(opened: Open):
    """
    Plus and minus zoom, the arrows move, and 0 or Home show all again; both charts have one range.
    """
    with opened("idle-timeout") as page:
        whole = range_of(page)
        page.page.focus("#gaps")
        page.press("+", "+")
        start, end = range_of(page)
        assert end - start == pytest.approx((whole[1] - whole[0]) / 4, rel=0.01)

        page.press("ArrowRight")
        assert range_of(page)[0] == pytest.approx(start + (end - start) / 4, rel=0.01)
        page.press("ArrowLeft", "-")
        assert range_of(page)[1] - range_of(page)[0] == pytest.approx((whole[1] - whole[0]) / 2, rel=0.01)
        for key in ("0", "Home"):
            page.press("+", key)
            assert range_of(page) == whole


def test_the_buttons_are_large_enough_for_fingers_and_work(opened: Open):
    """
    On a phone the range is chosen by buttons of at least 44 pixels.
    """
    with opened("idle-timeout", PHONE) as page:
        whole = range_of(page)
        for move in ("in", "out", "left", "right", "reset"):
            box = page.page.locator(f"[data-move={move}]").bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) >= 44
        page.page.tap("[data-move=in]")
        assert range_of(page)[1] - range_of(page)[0] == pytest.approx((whole[1] - whole[0]) / 2, rel=0.01)
        page.page.tap("[data-move=reset]")
        assert range_of(page) == whole


def test_the_mouse_zooms(opened: Open):
    """
    What is dragged over becomes the range; the wheel zooms with Ctrl only, as it scrolls the page otherwise; a double click shows all.
    """
    with opened("idle-timeout") as page:
        whole = range_of(page)
        page.page.locator("#staircase").scroll_into_view_if_needed()
        x, y = middle(page, "staircase")
        page.drag((x, y), (x + 100, y))
        page.page.mouse.move(0, 0)
        start, end = range_of(page)
        assert start == pytest.approx(sum(whole) / 2, rel=0.05)
        assert 0 < end - start < (whole[1] - whole[0]) / 4

        page.page.dblclick("#staircase .u-over")
        page.page.mouse.move(0, 0)
        assert range_of(page) == whole

        page.page.mouse.move(*middle(page, "staircase"))
        page.page.mouse.wheel(0, -100)
        page.page.mouse.move(0, 0)
        assert range_of(page) == whole

        page.page.keyboard.down("Control")
        page.page.mouse.move(*middle(page, "staircase"))
        page.page.mouse.wheel(0, -100)
        page.page.keyboard.up("Control")
        page.page.mouse.move(0, 0)
        assert range_of(page)[1] - range_of(page)[0] == pytest.approx((whole[1] - whole[0]) * 0.8, rel=0.02)


def test_the_lines_are_copied(opened: Open):
    """
    What is to be pasted is copied by its button, or selected where a file may not copy.
    """
    with opened("buffered-full") as page:
        button = page.page.locator("#cure [data-copy]").first
        button.click()
        page.page.wait_for_function("() => /Copied|Selected/.test(document.querySelector('#cure [data-copy]').textContent)")
        page.page.evaluate("() => document.body.prepend(document.createElement('textarea'))")
        page.page.locator("textarea").press("Control+v")

        pasted = page.page.locator("textarea").input_value()
        selected = page.evaluate("() => String(getSelection())")
        assert "X-Accel-Buffering: no" in (pasted, selected.strip())


def test_the_points_are_there_as_a_table(opened: Open):
    """
    Behind each chart stand its points: the first 500 of a long stream, with a word on the rest.
    """
    with opened(recording(stream(every(0.01, 2000), sent=every(0.01, 2000, first=0.0)))) as page:
        for chart in ("staircase", "gaps"):
            page.page.click(f"[data-points={chart}] summary")
            page.page.wait_for_selector(f"[data-points={chart}] tbody tr")
            assert page.page.locator(f"[data-points={chart}] tbody tr").count() == 500
            assert "The first 500 of 2,000" in page.page.inner_text(f"[data-points={chart}]")
        assert page.page.inner_text("[data-points=staircase] tbody tr:nth-child(2)").split("\t")[:2] == ["2", "0.1100s"]
        assert page.page.inner_text("[data-points=gaps] tbody tr:nth-child(2)").split("\t")[:2] == ["2", "0.0100s"]


def test_ten_thousand_events_are_smooth(opened: Open):
    """
    With 10,000 events, each beside when it was sent, nobody sees a step of a zoom wait: the middle one is drawn within a tenth of a second.
    """
    chance = random.Random(1)
    at = [number / 100 + chance.random() / 200 for number in range(10_000)]
    with opened(recording(stream(at, sent=[max(0.0, time - 0.05) for time in at]))) as page:
        took = page.evaluate(
            """async () => {
                const frame = () => new Promise(requestAnimationFrame), took = [];
                for (let step = 0; step < 21; step++) {
                    await frame();
                    const begun = performance.now();
                    document.querySelector(step % 2 ? "[data-move=out]" : "[data-move=in]").click();
                    await null;
                    document.querySelector("#staircase canvas").getContext("2d").getImageData(0, 0, 1, 1);
                    took.push(performance.now() - begun);
                }
                return took.sort((one, other) => one - other);
            }"""
        )
        print(f"zoom steps with 10,000 events: middle {took[10]:.1f} ms, longest {took[-1]:.1f} ms")
        # Measured: 17 ms, on two cores without a graphics card. A tenth of a second is what people take for at once (Nielsen, 1993).
        assert took[10] < 100


def test_a_change_of_scheme_changes_the_drawing(opened: Open):
    """
    When night falls the charts take the colours of the night, without being loaded again.
    """
    with opened("buffered-full") as page:
        day = page.page.locator("#staircase").screenshot()
        page.page.emulate_media(color_scheme="dark")
        page.page.wait_for_timeout(200)

        assert page.evaluate(
            """() => {
                const canvas = document.querySelector("#staircase canvas"), night = [0x69, 0xad, 0xff];
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                for (let at = 0; at < data.length; at += 4) if (night.every((part, band) => Math.abs(data[at + band] - part) < 3)) return true;
                return false;
            }"""
        )
        assert page.page.locator("#staircase").screenshot() != day


def test_the_charts_take_the_width_that_there_is(opened: Open):
    """
    A phone that is turned gets wider charts, and the page still is not too wide.
    """
    with opened("buffered-full", PHONE) as page:
        narrow = page.evaluate("() => document.querySelector('#staircase canvas').clientWidth")
        page.page.set_viewport_size({"width": 844, "height": 390})
        page.page.wait_for_function("(was) => document.querySelector('#staircase canvas').clientWidth > was + 300", arg=narrow)
        page.page.set_viewport_size({"width": 360, "height": 740})
        page.page.wait_for_function("(was) => document.querySelector('#staircase canvas').clientWidth < was", arg=narrow)

        assert page.overflow() == 0
