"""report.html: complete without a script, needs nothing but itself, and stays harmless whatever a server wrote."""

import base64
import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from importlib import resources
from itertools import accumulate, pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from sse_check.baseline import Change, Comparison
from sse_check.recording import FallbackRecording, Recording, Redirect, ServiceRecording
from sse_check.report.html import PAGE_BYTES, report_html
from sse_check.report.page_data import MAX_EVENTS, chart_data, sentence
from sse_check.report.picture import Mark, Step, StreamPicture
from sse_check.report.report import Report, build_report
from sse_check.scenario import Target
from tests.support.drawn import recordings
from tests.support.streams import answer, every, probe, recording, scenario, stream

VENDORED = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
# Everything that a page of ours is made of; what a stranger's text adds is not among it.
ELEMENTS = """
    html head meta title style body header div h1 h2 h3 p strong code dl dt dd nav ul li a main section article details summary
    pre button table thead tbody tr th td span label select input output kbd noscript svg circle path rect footer script
"""
ATTRIBUTES = """
    lang charset http-equiv content name id class aria-label aria-labelledby aria-describedby aria-hidden role tabindex href rel type
    scope viewbox preserveaspectratio cx cy r d x y width height data-copy data-stream data-mark data-move data-points data-first
"""
OUR_LINK = re.compile(r"https://[a-z0-9.-]+/[\x21-\x7e]*|#[a-z]+")


class Page(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, its text, and the contents of style and script."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.raw: dict[str, list[str]] = {"style": [], "script": []}
        self._inside = ""
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag in self.raw:
            self.raw[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in self.raw:
            self.raw[self._inside][-1] += data
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """The elements in their order, each with the names of its attributes."""
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]

    @property
    def data(self) -> Any:
        return json.loads(self.raw["script"][0])


def page_of(value: Recording) -> Page:
    return Page(report_html(build_report(value)))


def run(text: str, **rest: Any) -> Recording:
    """A run in which a stranger's text stands wherever one can."""
    return recording(
        stream(
            every(1.0, 5), ids=["1", "2", "3", "5", "6"], ended="reset", error=text, probe=f"{text}a", head=answer(reason=text, server=text)
        ),
        stream(every(1.0, 5), probe=f"{text}b", redirects=[Redirect(status=307, location=text, at_ns=5)], url=text, peer=text),
        stream(head=answer(503, reason=text), probe=f"{text}b", number=2, body_start=text),
        stream([4.0] * 5, sent=every(1.0, 5, first=0.0), probe=f"{text}c", last_event_id=text),
        scenario=scenario(
            *(probe(f"{text}{n}") for n in "abc"), name=text, target=Target(url=f"https://app.example.test/{text}", headers={"x": text})
        ),
        fallbacks=[FallbackRecording(kind="batch", url=text, worked=False, seconds=1.0, detail=text)],
        services=[ServiceRecording(name=text, image=text, in_front_of=text, error=text, state=text, log=f"{text}\n{text}")],
        interrupted=text,
        python=text,
        platform=text,
        proxies=(text,),
        **rest,
    )


HOSTILE = [
    "<script>window.hacked=1;alert(1)</script>",
    "</script><script>window.hacked=1</script>",
    "--></style></title></textarea><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" style="color:red',
    "' autofocus onfocus='alert(1)",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% include 'summary.md.j2' %}",
    "`</code><a href=javascript:alert(1)>x</a>`",
    "&lt;b&gt;&#x3c;",
    "<!--<script>",
    "\x00\x1b[31m\u202e\u2028\u2029\ud800",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_strangers_text_is_shown_and_never_becomes_part_of_the_page(text: str):
    """
    Whatever a server, a scenario or a service writes: the page has the elements and attributes that it has for harmless text.
    """
    hostile, harmless = page_of(run(text)), page_of(run("`x`" if "`" in text else "x"))

    assert hostile.shape == harmless.shape
    assert [a.get("href") for a in hostile.all("a")] == [a.get("href") for a in harmless.all("a")]
    assert len(hostile.raw["script"]) == 5
    assert hostile.raw["script"][1:] == harmless.raw["script"][1:]


def test_what_cannot_be_seen_is_spelled_out():
    """
    Controls, NULs and marks that turn the direction of text are visible, in the page's text and in its data.
    """
    page = report_html(build_report(run("\x00\x1b\u202e\u2028"))).decode()

    assert not re.search("[\x00\x1b\u202e\u2028]", page)
    assert "\\x00\\x1b\\u202e\\u2028" in Page(page.encode()).text


@given(recordings())
@settings(max_examples=40)
def test_any_run_makes_a_page_of_our_own_elements(value: Recording):
    """
    No run whatever brings an element, an attribute or a link into the page that is not ours; there is no inline style or handler.
    """
    page = page_of(value)

    assert {tag for tag, _ in page.elements} <= {*ELEMENTS.split()}
    assert {name for _, attributes in page.elements for name in attributes} <= {*ATTRIBUTES.split()}
    assert all(OUR_LINK.fullmatch(a["href"] or "") for a in page.all("a"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in page.all("a") if (a["href"] or "").startswith("#")} <= {f"#{name}" for name in ids}


def test_the_policy_names_the_pages_own_script_and_style_and_nothing_else():
    """
    The Content-Security-Policy lets run what its hashes name: exactly the style and the scripts that are there.
    """
    page = page_of(run("x"))

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    (style,), (_, *scripts) = page.raw["style"], page.raw["script"]
    assert [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"] == [
        f"default-src 'none'; script-src {' '.join(map(hashed, scripts))}; style-src {hashed(style)}; base-uri 'none'; form-action 'none'"
    ]
    assert page.all("script") == [{"type": "application/json", "id": "data"}, {}, {}, {}, {}]


def test_the_page_needs_nothing_but_itself():
    """
    Nothing in the page is fetched: it has links to sources, which somebody must follow, and nothing else that has an address.
    """
    page = page_of(run("x"))
    (style,) = page.raw["style"]

    assert not any(name in ("src", "srcset", "data", "poster", "action", "formaction") for _, a in page.elements for name in a)
    assert not re.search(r"url\(|@import", style)
    assert all(a.get("rel") == "noopener noreferrer" for a in page.all("a") if (a["href"] or "").startswith("https:"))


@pytest.mark.parametrize(("name", "sha256"), VENDORED.items())
def test_what_was_taken_over_is_unchanged(name: str, sha256: str):
    """
    uPlot is the file that its author published, and its licence is with it.
    """
    text = resources.files("sse_check.report").joinpath("assets", "uplot", name).read_bytes()

    assert hashlib.sha256(text).hexdigest() == sha256


def test_the_licence_of_what_was_taken_over_is_in_the_page():
    """
    The MIT licence wants its notice in every copy.
    """
    assert "Copyright (c) 2022 Leon Sorokin" in page_of(run("x")).raw["script"][1]


def test_verdict_cause_and_cure_come_first():
    """
    The answer, the cause and the lines to be copied stand before the charts, and all of it is there without a script.
    """
    text = page_of(recording(stream([19.2] * 20, sent=every(1.0, 20)))).text
    answer, _, rest = text.partition("The cause")
    expected = [
        "something on the way held the whole response back",
        "What to change",
        "X-Accel-Buffering: no",
        "Events over time",
        "The charts need JavaScript",
        *("Findings", "Criteria", "Streams", "Connections", "Measurement"),
    ]
    order = [rest.index(part) for part in expected]

    assert answer.index("SSE does not stream through this deployment") < answer.index("PUNT to WebSocket")
    assert order == sorted(order)


@pytest.mark.parametrize(
    "observed", [stream(every(1.0, 20)), stream([]), stream(head=None, ended="error", reason="dns", error="no such host")]
)
def test_headings_are_in_order(observed: Any):
    """
    Who listens to the page goes by its headings: one of the first level, and no level is left out.
    """
    levels = [int(tag[1]) for tag, _ in page_of(recording(observed)).elements if re.fullmatch("h[1-6]", tag)]

    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


def test_a_value_of_our_sentences_is_code():
    """
    What stands between backticks in a sentence of ours is shown as code, without the backticks.
    """
    page = report_html(build_report(recording(stream(head=answer(503, reason="Gone <fishing>"))))).decode()

    assert "<code>503 Gone &lt;fishing&gt;</code>" in page or "<code>Gone &lt;fishing&gt;</code>" in page


# --- the charts' data -------------------------------------------------------------------------------------------------


def picture(received: Sequence[float] = (), **rest: Any) -> StreamPicture:
    """A stream as the charts get it."""
    values: dict[str, Any] = {
        "name": "wallet",
        "probe": "wallet",
        "stream": 1,
        "phase": "stream",
        "factor": None,
        "passed": True,
        "received": tuple(received),
        "beside": (),
        "beside_is": None,
        "alive": (),
        "end": max(received, default=0.0),
        "steps": (),
        "marks": (),
    }
    return StreamPicture(**{**values, **rest})


def report(*pictures: StreamPicture, before: Sequence[StreamPicture] = ()) -> Report:
    return Report(result=build_report(recording()).result, pictures=pictures, before=tuple(before))


def decoded(value: Report, **rest: Any) -> list[Any]:
    """The rows of the streams in the charts' data."""
    return list(json.loads(chart_data(value, **rest).json)["streams"])


def test_times_are_carried_as_tenths_of_milliseconds():
    """
    The page's script gets the times that were measured, right to a tenth of a millisecond.
    """
    (row,) = decoded(report(picture([0.1, 0.25, 0.25, 19.1], beside=(0.0, 0.2), beside_is="sent")))

    assert list(accumulate(row[8])) == [1000, 2500, 2500, 191000]
    assert list(accumulate(row[10])) == [0, 2000]
    assert (row[0], row[5:8], row[9], row[11]) == ("wallet", [191000, 1, 4], 2, "sent")


def test_ten_thousand_events_are_carried_in_full_and_more_are_thinned_evenly():
    """
    Of a very long stream each n-th event is there, and the last; how many there were is known.
    """
    (full,) = decoded(report(picture([n / 100 for n in range(MAX_EVENTS)])))
    (thinned,) = decoded(report(picture([n / 100 for n in range(2 * MAX_EVENTS + 1)])))

    assert (full[6], len(full[8])) == (1, MAX_EVENTS)
    assert (thinned[6], thinned[7]) == (3, 2 * MAX_EVENTS + 1)
    assert list(accumulate(thinned[8])) == [*range(0, 100 * (2 * MAX_EVENTS + 1), 300), 100 * 2 * MAX_EVENTS]


def test_the_worst_streams_are_kept_where_not_all_have_room():
    """
    The charts' data keeps to its budget; the first streams are in it, with those that explain them, the others are counted.
    """
    pictures = [picture(every(1.0, 50), probe=f"p{n}", name=f"p{n}") for n in range(100)]
    explains = picture(every(1.0, 50), probe="p0", name="p0 (one by itself)", factor="alone", passed=None)
    charts = chart_data(report(*pictures, explains), budget=10_000)

    assert 9_000 < len(charts.json) <= 10_000
    assert [p.name for p in charts.streams][:3] == ["p0", "p0 (one by itself)", "p1"]
    assert len(charts.streams) + charts.left_out == 101


def test_the_run_before_is_carried_beside():
    """
    A run that it is compared with lies beside it: of the same family, so that it is offered to be laid over.
    """
    rows = json.loads(chart_data(report(picture([0.1], probe="a over HTTP/2"), before=[picture([5.0], probe="a over HTTP/1.1")])).json)

    assert [row[1] for row in (*rows["streams"], *rows["before"])] == [0, 0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), 1e300, -1e300])
def test_no_number_breaks_the_page(bad: float):
    """
    Times that are no numbers, or absurd ones, are drawn at the edge; the page is whole, and its data is JSON.
    """
    strange = picture(
        [0.1, bad, 0.3],
        beside=(bad, bad),
        beside_is="sent",
        alive=(bad,),
        end=bad,
        steps=(Step(name="events", start=bad, end=0.1),),
        marks=(Mark(code="stalled", text="stalled", start=0.1, end=bad),),
    )
    page = Page(report_html(report(strange)))

    (row,) = page.data["streams"]
    assert all(abs(value) <= 1e10 for value in accumulate(row[8]))
    assert row[8]
    assert not re.search("NaN|Infinity|[0-9]e[0-9]", page.raw["script"][0])
    assert not re.search("nan|inf(?!o)", " ".join(str(a.get(key)) for a in page.all("rect") for key in ("x", "width")))


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (
            picture([1.8] * 11, beside=tuple(every(0.18, 11, first=0.0)), beside_is="sent"),
            "11 events, all received at 1.8s; sent from 0ms to 1.8s.",
        ),
        (picture(every(1.0, 20)), "20 events, received from 100ms to 19.1s, at most 1s apart."),
        (picture([0.5]), "1 event, received at 500ms."),
        (picture(end=9.0), "No event was received in 9s."),
        (
            picture(
                [0.1, 0.2],
                marks=(Mark(code="stalled", text="stalled for 6s", start=0.2, end=6.2), Mark(code="", text="due", start=2.0, end=2.0)),
            ),
            "2 events, received from 100ms to 200ms, at most 100ms apart. Marked: stalled for 6s.",
        ),
    ],
)
def test_a_picture_is_also_a_sentence(shown: StreamPicture, words: str):
    """
    Who does not see the chart is told what it shows, and what is marked on it.
    """
    assert sentence(shown) == words


# --- size -------------------------------------------------------------------------------------------------------------


def test_five_thousand_streams_fit():
    """
    A page of 5,000 streams stays below 5 MB, with all of their charts; the tables have the worst, and count the rest.
    """
    streams = [stream(every(1.0, 20), number=n + 1, phase="concurrency", ended="eof" if n % 3 else "reset") for n in range(5000)]
    page = report_html(build_report(recording(*streams, scenario=scenario(probe(streams=5000)))))

    assert len(page) < PAGE_BYTES
    assert "…and 4800 more streams" in Page(page).text
    assert len(Page(page).data["streams"]) == 5000


def test_a_huge_hostile_run_fits():
    """
    Two hundred probes whose every text is a megabyte long: tables lose rows, values their ends, and the page stays below 5 MB.
    """
    names = [f"{n}" + "<\x00" * 2000 for n in range(200)]
    long = "<\x00" * 500_000
    value = recording(
        *(stream(every(1, 9, first=3.0), head=answer(reason=long), ended="reset", error=long, url=long, probe=name) for name in names),
        scenario=scenario(*map(probe, names), name=long),
        services=[ServiceRecording(name=f"{n}{long}", image=long, state=long, log=f"{long[:1000]}\n" * 300) for n in range(50)],
    )
    page = report_html(build_report(value))

    assert len(page) < PAGE_BYTES
    assert "SSE does not stream through this deployment" in Page(page).text


def test_the_same_run_makes_the_same_page():
    """
    A page depends on its recording alone.
    """
    value = run("x")

    assert report_html(build_report(value)) == report_html(build_report(msgspec.structs.replace(value)))


def test_a_comparison_says_what_changed_where():
    """
    Beside an earlier run the page says when that was, what got worse in which probe, and what could not be compared.
    """
    value = build_report(recording(stream(every(1.0, 20, first=1.9)), stream([], probe="new"), scenario=scenario(probe(), probe("new"))))
    change = Change(
        probe="wallet",
        figure="first_event_time",
        name="first event",
        before=0.1,
        after=1.9,
        unit="s",
        direction="worse",
        confidence="possible",
        detail="the first event took 1.9s, before 100ms",
    )
    before = Comparison(
        test_timestamp="2026-01-14T10:30:00Z",
        verdict="viable",
        version="1.0.0",
        changes=(change,),
        not_compared=("The probe `new` is only in this run.",),
    )
    page = Page(report_html(dataclasses.replace(value, result=msgspec.structs.replace(value.result, baseline=before))))

    assert "That of 14 January 2026, 10:30 UTC, by sse-check 1.0.0: viable." in page.text
    assert "▼ worse wallet: the first event took 1.9s, before 100ms" in page.text.partition("What may be chance")[2]
    assert "0 worse, 0 better" in page.text
    assert "Not compared: The probe new is only in this run." in page.text
    assert {"href": "#baseline"} in page.all("a")
