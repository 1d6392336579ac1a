"""Invented runs as they are compared with an earlier one: what varies by chance, and what is changed on purpose.

Noise(within=0.3, outliers=0.02, drift=0.2)          # streams vary, one in 50 takes ten times as long, runs differ too
invented(rng, (3, 1), Noise())                       # a run of two probes, with three streams and one
invented(rng, (3,), Noise(), Truth(first_event=1.2)) # the same of another deployment
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from sse_check.baseline.run import Run, RunEnvironment, RunFinding, RunStream

EVENTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What varies without a change. `within` and `drift` are standard deviations on the log scale, of streams and of runs;
    `outliers` is the share of streams that take ten times as long, `lost` of events, `cut` of streams that end half-way.
    `pareto` is the exponent of a heavy tail in place of the log-normal spread.
    """

    within: float = 0.2
    drift: float = 0.0
    outliers: float = 0.0
    pareto: float | None = None
    lost: float = 0.0
    cut: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a deployment does: times in seconds, the share of events that arrive, a fault that all streams have."""

    first_event: float = 0.3
    gap: float = 1.0
    arrive: float = 1.0
    fault: str | None = None
    cold: bool = False


def invented(rng: random.Random, shape: Sequence[int], noise: Noise, truth: Truth | None = None) -> Run:
    """A run with so many streams in each of its probes."""
    truth = truth or Truth()
    factors = [math.exp(rng.gauss(0, noise.drift)) for _ in range(2)]
    streams: list[RunStream] = []
    findings: list[RunFinding] = []
    for number, count in enumerate(shape):
        mine = [_stream(rng, f"probe {number}", n, noise, truth, factors) for n in range(1, count + 1)]
        if truth.cold:  # the first of all finds the application asleep
            mine[0] = RunStream(
                **{f: getattr(mine[0], f) for f in mine[0].__struct_fields__} | {"connection_time": 2.8, "first_event_time": 3.0}
            )
        streams += mine
        found = {
            "lost-events": tuple(s.stream for s in mine if EVENTS // 2 < s.on_time_events < EVENTS),
            "truncated": tuple(s.stream for s in mine if s.on_time_events <= EVENTS // 2),
            truth.fault: tuple(s.stream for s in mine),
        }
        findings += [RunFinding(code=code, probe=f"probe {number}", streams=of) for code, of in found.items() if code and of]
    return Run(
        schema_version=1,
        test_timestamp="2026-01-15T10:30:00Z",
        target_url="https://app.example.test",
        verdict="viable",
        test_results=tuple(streams),
        findings=tuple(findings),
        environment=RunEnvironment(version="1.0.0", loop_lag_p99=0.001, loop_lag_max=0.005),
    )


def _stream(rng: random.Random, probe: str, number: int, noise: Noise, truth: Truth, factors: Sequence[float]) -> RunStream:
    head = truth.first_event / 2 * factors[0] * _varied(rng, noise)
    came = sum(rng.random() < truth.arrive * (1 - noise.lost) for _ in range(EVENTS)) if truth.arrive < 1 or noise.lost else EVENTS
    if noise.cut and rng.random() < noise.cut:
        came = min(came, EVENTS // 2)
    return RunStream(
        probe=probe,
        stream=number,
        expected_events=EVENTS,
        on_time_events=came,
        connection_time=head,
        first_event_time=head + truth.first_event / 2 * factors[0] * _varied(rng, noise),
        median_gap=truth.gap * factors[1] * math.exp(rng.gauss(0, noise.within / 4)),
        protocol="http/1.1",
    )


def _varied(rng: random.Random, noise: Noise) -> float:
    """What a stream's time is multiplied by."""
    spread = rng.paretovariate(noise.pareto) if noise.pareto else math.exp(rng.gauss(0, noise.within))
    return spread * (10 if rng.random() < noise.outliers else 1)
