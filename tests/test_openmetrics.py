"""The metrics: read by the parsers of both formats, bounded, and saying what the report says."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import Metric
from prometheus_client import parser as text_format
from prometheus_client.openmetrics import parser as openmetrics_format

from sse_check.diagnosis import Bound, Finding, Limits
from sse_check.escape import visible
from sse_check.pipeline import rejudge
from sse_check.recording import Recording
from sse_check.report import Result, build_report
from sse_check.report.openmetrics import LABEL_LIMIT, gauges, openmetrics
from sse_check.verdict import CriterionResult
from tests.support.streams import answer, every, probe, recording, scenario, stream

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.ndjson"))
RUN = {"scenario": "An invented run", "target": "https://app.example.test"}
Series = tuple[str, frozenset[tuple[str, str]]]
Parser = Callable[[str], Iterable[Metric]]

# The library gives one of them no type.
OPENMETRICS: Parser = openmetrics_format.text_string_to_metric_families
OLDER: Parser = text_format.text_string_to_metric_families


def result_of(value: Recording) -> Result:
    return build_report(value).result


def read(result: Result) -> list[Metric]:
    """The families, as an OpenMetrics parser reads them."""
    return list(OPENMETRICS(openmetrics(result).decode()))


def series(families: Iterable[Metric]) -> dict[Series, float]:
    """Each sample by its name and labels; a parser that met one twice would have failed."""
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(result: Result, name: str, **labels: str) -> float | None:
    """The sample with these labels beside those of the run; None if there is none."""
    return series(read(result)).get((f"sse_check_{name}", frozenset({**RUN, **labels}.items())))


def values(result: Result, name: str) -> list[float]:
    return [number for (of, _), number in series(read(result)).items() if of == f"sse_check_{name}"]


GOOD = recording(
    stream(every(1.0, 20), probe="one", head_at=0.02),
    stream(every(1.0, 20, first=0.2), probe="three at once", phase="concurrency"),
    stream(every(1.0, 20, first=0.3), probe="three at once", phase="concurrency", number=2),
    stream([*every(1.0, 19, first=0.7), 20.7], probe="three at once", phase="concurrency", number=3),
    scenario=scenario(probe("one"), probe("three at once", streams=3)),
)
BAD = recording(stream(head=answer(503, reason="Service Unavailable")))
OPEN = recording(stream([], comments=[0.1], ended="timeout", end=9.0))


# --- the formats ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_both_parsers_read_the_same_from_one_file(path: Path):
    """
    metrics.prom is OpenMetrics, and read alike by the parser of the older format, which node_exporter's collector has.
    """
    text = openmetrics(rejudge([path], None).result).decode()
    newer = series(OPENMETRICS(text))
    older = series(OLDER(text))
    assert newer == older
    assert newer


@pytest.mark.parametrize("of", [GOOD, BAD, OPEN, recording()], ids=["good", "bad", "open", "nothing"])
def test_there_are_only_gauges_with_help_and_base_units(of: Recording):
    """
    Each metric is a gauge with a help text, and its name ends in its unit where it has one.
    """
    for family in read(result_of(of)):
        assert (family.type, family.name.startswith("sse_check_"), bool(family.documentation)) == ("gauge", True, True)
        assert family.unit in ("", "seconds", "ratio")
        assert family.name.endswith(family.unit)
        assert family.unit or not family.name.endswith(("_seconds", "_ratio"))


def test_the_same_metrics_are_described_whatever_was_observed():
    """
    What is built on a name finds its metric described in each file.
    """
    assert [family.name for family in read(result_of(GOOD))] == [family.name for family in read(result_of(recording()))]


def test_the_global_registry_is_left_alone():
    """
    What prometheus_client tells of this process is not mixed with what was measured.
    """
    openmetrics(result_of(GOOD))
    assert not any(family.name.startswith("sse_check") for family in prometheus_client.REGISTRY.collect())
    assert not [family.name for family in read(result_of(GOOD)) if family.name.startswith(("python_", "process_"))]


# --- what they say ----------------------------------------------------------------------------------------------------


def test_a_good_run_in_figures():
    """
    Each figure is that of the report: the verdict, and of each probe the worst and the middle of its streams.
    """
    result = result_of(GOOD)
    expected = {
        ("streaming_enabled", ""): 1,
        ("success_ratio", ""): 1,
        ("measured_timestamp_seconds", ""): 1_768_473_000,
        ("loop_lag_p99_seconds", ""): 0.0004,
        ("probe_passed", "one"): 1,
        ("probe_passed", "three at once"): 1,
        ("probe_success_ratio", "three at once"): 1,
        ("probe_streams", "one"): 1,
        ("probe_streams", "three at once"): 3,
        ("probe_failed_streams", "three at once"): 0,
        ("probe_head_max_seconds", "one"): 0.02,
        ("probe_first_event_max_seconds", "three at once"): 0.7,
        ("probe_first_event_median_seconds", "three at once"): 0.3,
        ("probe_gap_max_seconds", "three at once"): 2.0,
    }
    assert {(name, of): value(result, name, **({"probe": of} if of else {})) for name, of in expected} == expected
    assert value(result, "build_info", version="1.0.0", python="3.14.0") == 1
    assert values(result, "finding") == []


@pytest.mark.parametrize(("of", "verdict"), [(GOOD, "viable"), (BAD, "not-viable"), (OPEN, "inconclusive")])
def test_one_verdict_is_1_and_the_others_are_0(of: Recording, verdict: str):
    """
    All three are there in each run, so that a query finds the one that is not.
    """
    result = result_of(of)
    assert {name: value(result, "verdict", verdict=name) for name in ("viable", "not-viable", "inconclusive")} == {
        name: float(name == verdict) for name in ("viable", "not-viable", "inconclusive")
    }
    assert value(result, "streaming_enabled") == (verdict == "viable")


def test_a_failed_probe_is_0_and_its_fault_has_a_series():
    """
    A fault is a series with its code, its severity and its probe.
    """
    result = result_of(BAD)
    assert value(result, "probe_passed", probe="wallet") == 0
    assert value(result, "probe_failed_streams", probe="wallet") == 1
    assert value(result, "finding", code="http-error", severity="error", probe="wallet") == 1


def test_what_could_not_be_judged_has_no_number():
    """
    Not known is neither 0 nor 1: without an event that was due there is no ratio, no time and no answer.
    """
    result = result_of(OPEN)
    assert [
        values(result, name)
        for name in ("success_ratio", "probe_passed", "probe_success_ratio", "probe_first_event_max_seconds", "probe_gap_max_seconds")
    ] == [[]] * 5
    assert value(result, "probe_streams", probe="wallet") == 1


def test_a_criterion_that_was_missed_fails_the_probe_without_any_fault():
    """
    A probe has passed when its criteria are met too, not only when no fault was found.
    """
    missed = CriterionResult(probe="one", criterion="first_event", passed=False, observed=2.5, limit=2.0, detail="")
    assert value(replace(result_of(GOOD), criteria=(missed,)), "probe_passed", probe="one") == 0


@pytest.mark.parametrize(("severity", "passed"), [("error", 0), ("warning", 1)])
def test_a_fault_fails_the_probe_whose_criteria_are_met(severity: Literal["error", "warning"], passed: int):
    """
    The criteria alone are blind to what is held back; a warning fails nothing.
    """
    found = Finding(code="buffered-full", severity=severity, confidence="certain", probe="one", streams=(1,), evidence={}, message="")
    result = replace(result_of(GOOD), findings=(found,))
    assert (value(result, "probe_passed", probe="one"), value(result, "probe_passed", probe="three at once")) == (passed, 1)


def test_limits_that_were_searched_for_go_before_those_that_were_met():
    """
    A limit is in seconds, with what it limits and on which way; what no stream ran into is absent.
    """
    found = Limits(probe="one", way="target", until=90, first_byte=Bound(), idle=Bound(seconds=60.0), total=Bound(survived=90.0))
    evidences: tuple[tuple[str, str, dict[str, float | int | str]], ...] = (
        ("idle-timeout", "one", {"idle_timeout": 61.0}),
        ("idle-timeout", "two", {"idle_timeout": 30.0}),
        ("duration-limit", "two", {"max_duration": 300.0, "how": "reset"}),
        ("duration-limit", "odd", {"max_duration": "unknown"}),
    )
    met = [
        Finding(code=code, severity="error", confidence="certain", probe=of, streams=(1,), evidence=evidence, message="")
        for code, of, evidence in evidences
    ]
    result = replace(result_of(GOOD), limits=(found, replace(found, way="direct", idle=Bound(seconds=90.0))), findings=tuple(met))
    limits = [("one", "target", "idle", 60), ("one", "direct", "idle", 90), ("two", "target", "idle", 30), ("two", "target", "total", 300)]
    assert len(values(result, "limit_seconds")) == len(limits)
    for of, way, limit, seconds in limits:
        assert value(result, "limit_seconds", probe=of, way=way, limit=limit) == seconds


@pytest.mark.parametrize("written", ["", "yesterday", "2026-13-45T99:00:00Z"])
def test_a_time_that_nobody_can_read_is_absent(written: str):
    """
    Anybody may write a recording; one without a proper time still has metrics.
    """
    assert values(replace(result_of(GOOD), test_timestamp=written), "measured_timestamp_seconds") == []


# --- bounded and harmless ---------------------------------------------------------------------------------------------

HOSTILE = [
    'a"b',
    "back\\slash",
    "a\\",
    "line\nbreak",
    'x"} 1\nsse_check_streaming_enabled{} 1\n# EOF',
    "\r\x00\x1b[31m",
    "\ud800",
    "ü 🙂",
    "M" * 1_000_000,
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:20]))
def test_hostile_names_are_read_back_as_bounded_visible_text(name: str):
    """
    Quotes, backslashes, line breaks and a megabyte: a parser reads the visible text, and nothing else became a series.
    """
    of = recording(stream(every(1.0, 20), probe=name), scenario=scenario(probe(name), name=name))
    result = replace(result_of(of), target_url=name)
    shown = visible(name, LABEL_LIMIT)
    plain = result_of(recording(stream(every(1.0, 20))))
    for parser in (OPENMETRICS, OLDER):
        found = series(parser(openmetrics(result).decode()))
        assert len(found) == len(series(read(plain)))
        assert found["sse_check_probe_passed", frozenset({"scenario": shown, "target": shown, "probe": shown}.items())] == 1
    assert len(openmetrics(result)) < 20_000


@given(st.text(max_size=300))
def test_any_name_is_read_back(name: str):
    """
    Whatever a scenario calls itself.
    """
    result = replace(result_of(recording()), name=name)
    found = series(read(result))
    labels = {"scenario": visible(name, LABEL_LIMIT), "target": RUN["target"]}
    assert found["sse_check_streaming_enabled", frozenset(labels.items())] == 0


def test_names_that_look_alike_are_one_series():
    """
    Two probes whose bounded names are equal do not become one series twice, which a database refuses.
    """
    names = ["n" * 300 + "a", "n" * 300 + "b"]
    result = result_of(recording(*(stream(every(1.0, 20), probe=n) for n in names), scenario=scenario(*(probe(n) for n in names))))
    assert values(result, "probe_streams") == [2]


def test_nothing_that_a_server_wrote_is_in_them():
    """
    Neither a header, nor an error's text, nor an event's type or ID: a server could make a new series of each.
    """
    wrote = "SERVERTEXT"
    head = answer(503, reason=wrote, content_type=f"text/{wrote}", server=wrote, x_cache=wrote)
    of = recording(
        stream(head=head, error=wrote, url=f"https://app.example.test/{wrote}"),
        stream([0.1], ids=[wrote], types=[wrote], number=2, ended="reset", error=wrote),
    )
    assert wrote.encode() not in openmetrics(result_of(of))


def test_a_thousand_probes_with_many_streams_stay_a_thousand():
    """
    The number of series grows with the scenario's probes, not with their streams.
    """
    names = [f"probe {number}" for number in range(1000)]
    streams = [stream(every(1.0, 3), probe=name, number=n, phase="concurrency") for name in names for n in (1, 2, 3)]
    result = result_of(recording(*streams, scenario=scenario(*(probe(name, streams=3) for name in names))))
    of_probes = [gauge for gauge in gauges(result) if gauge.name.startswith("sse_check_probe_")]
    assert {len(gauge.samples) for gauge in of_probes} == {1000}
    assert sum(len(gauge.samples) for gauge in gauges(result)) < 10_000
    assert {label for gauge in gauges(result) for label in gauge.labels} == {
        *("scenario", "target", "verdict", "version", "python", "probe", "code", "severity", "way", "limit")
    }
