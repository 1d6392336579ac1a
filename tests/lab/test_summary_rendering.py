"""summary.md as GitHub reads it: every diagram is drawn whole, every table is one, and a stranger's text never becomes markup."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from msgspec.structs import replace

from sse_check.pipeline import rejudge
from sse_check.recording import Recording, ServiceRecording
from sse_check.report import build_report, summary_markdown
from tests.lab.pictures import RECORDINGS
from tests.support.browser import PHONE, Shown, chromium, shown
from tests.support.github_markdown import MERMAIDS, MermaidVersion, draw, elements, render, write_page
from tests.test_report import HOSTILE, faulty

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.lab

NAMES: Final = sorted(path.stem for path in RECORDINGS.glob("*.ndjson"))
# The HTML that the summary writes by itself.
OURS: Final = {"details", "summary", "wbr"}
_FENCE: Final = re.compile(r"^(`{3,})(\w*)\n(.*?)\n\1$", re.MULTILINE | re.DOTALL)
# What GitHub makes a mention of, after Markdown and outside of code.
_MENTIONS: Final = """() => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    for (let node = texts.nextNode(); node; node = texts.nextNode())
        if (!node.parentElement.closest("code, pre, a, style") && /(^|[^\\w`])@[a-z\\d]/i.test(node.data)) found.push(node.data);
    return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as started:
        yield started


def summary_of(name: str) -> str:
    return summary_markdown(rejudge([RECORDINGS / f"{name}.ndjson"], None).report)


def diagrams_in(markdown: str) -> list[str]:
    return [body for _, language, body in _FENCE.findall(markdown) if language == "mermaid"]


def series_in(diagram: str) -> tuple[int, ...]:
    """How many values each series of an XY chart has."""
    return tuple(values.count(",") + 1 for values in re.findall(r"^ *(?:bar|line).*\[(.*)\]$", diagram, re.MULTILINE))


@pytest.mark.parametrize("version", MERMAIDS)
def test_every_diagram_is_drawn_whole(browser: "Browser", version: MermaidVersion, tmp_path: Path):
    """
    The diagrams of all recordings: Mermaid reads each of them, and none of its values is left out.

    A chart that is short of its last values is worse than none: that is where a held response arrives.
    """
    diagrams = [(name, diagram) for name in NAMES for diagram in diagrams_in(summary_of(name))]
    write_page("\n\n".join(f"```mermaid\n{diagram}\n```" for _, diagram in diagrams), page := tmp_path / "page.html")
    with shown(browser, page) as seen:
        drawn = draw(seen, version, "light")
        untoward = seen.untoward

    assert len(drawn) == len(diagrams) > 40
    assert {name: d.error for (name, _), d in zip(diagrams, drawn, strict=True) if d.error} == {}
    assert {name: d.points for (name, source), d in zip(diagrams, drawn, strict=True) if d.points != series_in(source)} == {}
    assert untoward == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_summary_is_lost_at_github(name: str):
    """
    No element or attribute that the sanitiser takes away, and no HTML but the folds and the places where a long word may break.
    """
    rendered = render(summary_of(name))

    assert rendered.stripped == ()
    assert set(rendered.raw) <= OURS


@pytest.mark.parametrize("name", NAMES)
def test_headings_tables_and_folds_are_read_as_such(name: str):
    """
    As many as were written, and none is left as text in a paragraph; every row has as many cells as its table's head.
    """
    markdown = summary_of(name)
    written, html = _FENCE.sub("", markdown), render(markdown).html
    found = Counter(elements(html))

    assert found["table"] == len(re.findall(r"^\| ---", written, re.MULTILINE)) > 0
    assert found["h3"] + found["h4"] == len(re.findall(r"^#+ ", written, re.MULTILINE)) > 0
    assert found["details"] == found["summary"] == written.count("<details") == html.count("</details>")
    assert re.findall(r"<p>\s*[|#*-] ?.{,40}", html) == []
    for table in re.findall(r"<table>.*?</table>", html, re.DOTALL):
        assert len({len(re.findall(r"<t[hd]\b", row)) for row in table.split("<tr>")[1:]}) == 1


def hostile_run(text: str) -> Recording:
    """A run in which this text stands wherever text can stand, also in a service's log."""
    service = ServiceRecording(name=text, image=text, in_front_of=text, state=f"exited {text}", log=f"one\n{text}\nlast")
    return replace(faulty(text), services=(service,))


def skeleton(markdown: str) -> list[str]:
    """Its elements in their order, and where its links go; without `wbr`, which breaks a long address, and `code`, in which values stand."""
    html = render(markdown).html
    return [element for element in elements(html) if element not in ("wbr", "code")] + re.findall(r'(?:href|src)="([^"]*)"', html)


@pytest.fixture(scope="module")
def plain() -> list[str]:
    """The skeleton of a run in which everybody wrote a harmless word."""
    return skeleton(summary_markdown(build_report(hostile_run("plain"))))


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in HOSTILE.items()])
def test_a_strangers_text_is_text_at_github(browser: "Browser", plain: list[str], text: str, tmp_path: Path):
    """
    Mentions, fences, tables, HTML, links: the page has the elements and the links that it has without them, runs nothing, asks for nothing,
    and mentions nobody.
    """
    markdown = summary_markdown(build_report(hostile_run(text)))
    rendered = write_page(markdown, page := tmp_path / "page.html")

    assert skeleton(markdown) == plain
    assert (rendered.stripped, set(rendered.raw) - OURS) == ((), set())
    with shown(browser, page, PHONE, "dark") as seen:
        assert mentions(seen) == []
        assert seen.untoward == []
        assert seen.overflow() == 0


def mentions(page: Shown) -> list[str]:
    """The texts in which GitHub would find somebody's name."""
    return [str(text) for text in page.evaluate(_MENTIONS)]


def test_the_harness_sees_what_must_not_be(browser: "Browser", tmp_path: Path):
    """
    A summary that has all of it is caught: HTML, attributes, a mention, a request, a diagram that cannot be read.
    """
    markdown = "hello @octocat <b onclick=x>b</b><script>x</script>\n![x](https://evil.example.test/x.png)\n\n```mermaid\nxychart-beta\n  bar [NaN]\n```\n"
    rendered = write_page(markdown, page := tmp_path / "page.html")

    assert (rendered.raw, rendered.stripped) == (("b", "script"), ("b onclick", "script"))
    with shown(browser, page) as seen:
        assert mentions(seen) == ["hello @octocat "]
        assert seen.requests == ["https://evil.example.test/x.png"]
        (diagram,) = draw(seen, MERMAIDS[-1], "light")
    assert diagram.error is not None
