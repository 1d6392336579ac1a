"""The result as metrics: gauges with names, units and labels, and their OpenMetrics text, which is metrics.prom.

Gauges only, without time stamps: so the one file is OpenMetrics 1.0, and what node_exporter's textfile collector reads as
well. Its parser knows the older text format (Prometheus, "Exposition formats"), to which `# UNIT` and `# EOF` are comments;
what the two formats write differently is counters, and times of samples.

Each sample has the labels `scenario` and `target`: the files of several scenarios may lie in one directory. There is no
label for a stream, and no text of a server's in any: what may become a series is bounded by the scenario.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Final, Literal, get_args

from sse_check.diagnosis import Finding
from sse_check.escape import visible
from sse_check.metrics import percent
from sse_check.report.result import Result, StreamResult
from sse_check.verdict import CriterionResult, Verdict

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import GaugeMetricFamily

# The base units of Prometheus and OpenMetrics; "" is a number without one. A gauge's name ends in its unit (OpenMetrics 1.0, "Unit").
Unit = Literal["seconds", "ratio", ""]

# In characters. A scenario's names may be of any length, and a database keeps each label with each series.
LABEL_LIMIT: Final = 200
_COUNT: Final = 20  # what the count of the rest takes beyond it


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One number, and the values of its gauge's labels in their order."""

    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """One metric. `labels` are the names of all its labels; it has no sample where nothing was observed."""

    name: str
    unit: Unit
    help: str
    labels: tuple[str, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """How a gauge is had of a result: its samples by the labels that it has beside those of the run."""

    name: str
    unit: Unit
    help: str
    labels: tuple[str, ...]
    samples: Callable[[Result], Iterable[tuple[tuple[str, ...], float | None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probe:
    """What a result says of one probe."""

    streams: list[StreamResult]
    criteria: list[CriterionResult]
    errors: list[Finding]


def gauges(result: Result) -> tuple[Gauge, ...]:
    """All metrics of a result, always the same ones in the same order. Of samples with the same labels the first counts."""
    run = (visible(result.name, LABEL_LIMIT), visible(result.target_url, LABEL_LIMIT))
    return tuple(_gauge(family, run, result) for family in _FAMILIES)


def openmetrics(result: Result) -> bytes:
    """The result as OpenMetrics text, whose media type is application/openmetrics-text; version=1.0.0; charset=utf-8."""
    # Imported here: it brings a web server along, whose import is a quarter of the program's own.
    from prometheus_client.openmetrics import exposition

    # The library gives it no type.
    written: Callable[[CollectorRegistry], bytes] = exposition.generate_latest
    return written(registry(result))


def registry(result: Result) -> "CollectorRegistry":
    """The metrics of a result for prometheus_client, in a registry of their own: its global one tells of this process."""
    from prometheus_client import CollectorRegistry

    own = CollectorRegistry()
    own.register(_Collector(result))
    return own


class _Collector:
    """What prometheus_client asks for metrics."""

    def __init__(self, result: Result) -> None:
        self._gauges = gauges(result)

    def collect(self) -> Iterator["GaugeMetricFamily"]:
        from prometheus_client.metrics_core import GaugeMetricFamily

        for gauge in self._gauges:
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels, unit=gauge.unit)
            for sample in gauge.samples:
                family.add_metric(sample.labels, sample.value)
            yield family


def _gauge(family: _Family, run: tuple[str, str], result: Result) -> Gauge:
    # Two names that look alike once they are bounded and visible would be one series twice, which a database refuses.
    values: dict[tuple[str, ...], float] = {}
    for labels, value in family.samples(result):
        if value is not None:
            values.setdefault((*run, *(_label(label) for label in labels)), float(value))
    return Gauge(
        name=family.name,
        unit=family.unit,
        help=family.help,
        labels=("scenario", "target", *family.labels),
        samples=tuple(Sample(labels=labels, value=value) for labels, value in values.items()),
    )


def _label(text: str) -> str:
    """A label's value; one that is visible and bounded already stays as it is."""
    return text if text.isprintable() and len(text) <= LABEL_LIMIT + _COUNT else visible(text, LABEL_LIMIT)


# --- of the run -------------------------------------------------------------------------------------------------------


def _of_run(name: str, unit: Unit, value: Callable[[Result], float | None], help: str) -> _Family:
    return _Family(name=name, unit=unit, help=help, labels=(), samples=lambda result: [((), value(result))])


def _success(result: Result) -> float | None:
    """The success rate as report.json has it, but of nothing nothing."""
    return _ratio(result.overall_success_rate) if any(s.expected_events for s in result.test_results) else None


def _measured_at(result: Result) -> float | None:
    """Seconds since the epoch; None where the recording, which anybody may write, holds no time."""
    try:
        at = datetime.fromisoformat(result.test_timestamp)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _verdicts(result: Result) -> Iterable[tuple[tuple[str, ...], float]]:
    return (((verdict,), verdict == result.verdict) for verdict in get_args(Verdict))


def _build(result: Result) -> Iterable[tuple[tuple[str, ...], float]]:
    environment = result.environment
    return [((environment.version, environment.python), 1)]


def _findings(result: Result) -> Iterable[tuple[tuple[str, ...], float]]:
    return (((f.code, f.severity, f.probe), 1) for f in result.findings)


def _limits(result: Result) -> Iterable[tuple[tuple[str, ...], float | None]]:
    """The limits that were searched for and found; then those that streams ran into without a search."""
    for found in result.limits:
        bounds = {"first_byte": found.first_byte, "idle": found.idle, "total": found.total}
        for limit, bound in bounds.items():
            yield (found.probe, found.way, limit), bound.seconds
    for finding in result.findings:
        for limit, key in (("idle", "idle_timeout"), ("total", "max_duration")):
            seconds = finding.evidence.get(key)
            yield (finding.probe, "target", limit), None if isinstance(seconds, str) else seconds


# --- of each probe ----------------------------------------------------------------------------------------------------


def _of_probe(name: str, unit: Unit, value: Callable[[_Probe], float | None], help: str) -> _Family:
    def samples(result: Result) -> Iterable[tuple[tuple[str, ...], float | None]]:
        return (((name,), value(probe)) for name, probe in _probes(result).items())

    return _Family(name=name, unit=unit, help=help, labels=("probe",), samples=samples)


def _probes(result: Result) -> dict[str, _Probe]:
    """The probes that have streams or criteria, by their visible names."""
    found: dict[str, _Probe] = {}

    def probe(name: str) -> _Probe:
        return found.setdefault(visible(name, LABEL_LIMIT), _Probe(streams=[], criteria=[], errors=[]))

    for stream in result.test_results:
        probe(stream.probe).streams.append(stream)
    for criterion in result.criteria:
        probe(criterion.probe).criteria.append(criterion)
    for finding in result.findings:
        if finding.severity == "error" and visible(finding.probe, LABEL_LIMIT) in found:
            probe(finding.probe).errors.append(finding)
    return found


def _passed(probe: _Probe) -> bool | None:
    """Whether every criterion is met and no fault was found; None where one could not be judged."""
    answers = [criterion.passed for criterion in probe.criteria]
    if probe.errors or False in answers:
        return False
    return True if answers and None not in answers else None


def _probe_success(probe: _Probe) -> float | None:
    expected = sum(s.expected_events for s in probe.streams)
    return _ratio(percent(sum(s.on_time_events for s in probe.streams), expected)) if expected else None


def _ratio(percentage: float) -> float:
    """A percentage down to a tenth as a ratio: 99.9 -> 0.999."""
    return round(percentage / 100, 3)


def _first_events(probe: _Probe) -> list[float]:
    return [s.first_event_time for s in probe.streams if s.first_event_time is not None]


def _known_max(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


# The whole of it. A name is there to stay: dashboards and alerts are built on it.
_FAMILIES: Final = (
    _of_run(
        *("sse_check_streaming_enabled", "", lambda r: r.streaming_enabled),
        "1 if streaming may be switched on (the verdict is viable), else 0.",
    ),
    _Family(
        name="sse_check_verdict",
        unit="",
        help="1 for the verdict of the run, 0 for the others.",
        labels=("verdict",),
        samples=_verdicts,
    ),
    _of_run(
        *("sse_check_success_ratio", "ratio", _success),
        "On-time events of the expected ones, over all streams. Absent if none was expected.",
    ),
    _of_run(
        *("sse_check_measured_timestamp_seconds", "seconds", _measured_at),
        "When the run began, since the epoch. A monitor that stopped is one whose time is old.",
    ),
    _of_run(
        *("sse_check_loop_lag_p99_seconds", "seconds", lambda r: r.environment.loop_lag_p99),
        "The error of the measuring machine itself: 99th percentile of the lag of its event loop.",
    ),
    _Family(
        name="sse_check_build_info",
        unit="",
        help="1; the labels say what measured.",
        labels=("version", "python"),
        samples=_build,
    ),
    _of_probe(
        *("sse_check_probe_passed", "", _passed),
        "1 if the probe met every criterion and no fault was found, else 0. Absent if it could not be judged.",
    ),
    _of_probe(
        *("sse_check_probe_success_ratio", "ratio", _probe_success),
        "On-time events of the expected ones, over the streams of the probe. Absent if none was expected.",
    ),
    _of_probe(
        *("sse_check_probe_streams", "", lambda p: len(p.streams)),
        "Streams that were opened for the probe.",
    ),
    _of_probe(
        *("sse_check_probe_failed_streams", "", lambda p: sum(not s.passed for s in p.streams)),
        "Streams of the probe that did not pass.",
    ),
    _of_probe(
        *("sse_check_probe_head_max_seconds", "seconds", lambda p: _known_max(s.connection_time for s in p.streams)),
        "Until the response head came, the latest of the streams of the probe.",
    ),
    _of_probe(
        *("sse_check_probe_first_event_max_seconds", "seconds", lambda p: max(_first_events(p), default=None)),
        "Until the first event came, the latest of the streams of the probe.",
    ),
    _of_probe(
        *("sse_check_probe_first_event_median_seconds", "seconds", lambda p: median(_first_events(p)) if _first_events(p) else None),
        "Until the first event came, the median of the streams of the probe.",
    ),
    _of_probe(
        *("sse_check_probe_gap_max_seconds", "seconds", lambda p: _known_max(s.longest_gap for s in p.streams)),
        "The longest time between two events, of all streams of the probe.",
    ),
    _Family(
        name="sse_check_finding",
        unit="",
        help="1 for each fault that was found in a probe; probe is empty for what concerns the run. The codes are in docs/diagnoses.md.",
        labels=("code", "severity", "probe"),
        samples=_findings,
    ),
    _Family(
        name="sse_check_limit_seconds",
        unit="seconds",
        help="A limit of the way that was measured: on silence (idle), on age (total), on the first byte. Absent if none was met.",
        labels=("probe", "way", "limit"),
        samples=_limits,
    ),
)
