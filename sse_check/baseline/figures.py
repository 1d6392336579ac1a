"""Times and success rates of streams, with chance taken into account.

Each stream gives one value of a figure. Two runs differ in it where their middle values differ by more than chance explains:

* Times are compared as ratios (logarithms), since what varies by a tenth at 1 s varies by a tenth at 10 s too.
* How much the streams of each run vary is taken from the run itself, and where it has few streams partly from what streams
  usually do; the middle value is the median, so that one cold start moves nothing.
* All comparisons of a run share one chance of a false alarm, so that a report with more figures gives no more of them.
* Streams of one run are alike in more than streams of two: for a sure change the runs themselves may differ by 20 % each.
* What is less than a quarter, less than anybody notices, or less than the measuring machine's own error is no change.
"""

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Final

from sse_check.baseline.change import Change
from sse_check.baseline.noise import allowance, level, share, share_allowance, usual_spread
from sse_check.baseline.run import Run, RunStream
from sse_check.metrics import percent
from sse_check.units import format_duration

# A comparison that waits for the chance of a false alarm that is left to it.
Test = Callable[[float], Change | None]
# The streams of a probe: of this run, and of the earlier one.
Group = tuple[Sequence[RunStream], Sequence[RunStream]]

# Standard deviation of one run's times of day, load and route, on the log scale: what no stream of it shows.
DRIFT: Final = 0.2
# Less than a quarter more is within what a deployment does of itself.
SMALLEST: Final = math.log(1.25)
# One stream alone: its noise is not known, and a cold start takes several times as long.
ALONE: Final = math.log(3)
# Both runs' times are wrong by up to their errors, now and then by more.
_ERRORS: Final = 2.0
# Points of a success rate: what is listed, what is sure, and what one stream alone must differ by.
_POINTS: Final = 2.0
_SURE_POINTS: Final = 5.0
_ALONE_POINTS: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A time of a stream: its key in the report, its name, how it is said, the least difference that counts (seconds).

    `pace`: it is the time between events, which says nothing where they are held back and come together.
    """

    key: str
    name: str
    said: str
    least: float
    pace: bool = False


# A tenth of a second is the limit of what feels instant (Nielsen, Usability Engineering, 1993): half of it, and a tenth for
# what comes many times a second.
FIGURES: Final = (
    Figure(key="first_event_time", name="first event", said="first event after {}", least=0.05),
    Figure(key="first_token_time", name="first generated text", said="first generated text after {}", least=0.05),
    Figure(key="connection_time", name="response head", said="response head after {}", least=0.05),
    Figure(key="delay_p99", name="delay of events", said="99 of 100 events delayed by up to {}", least=0.05),
    Figure(key="token_gap_median", name="gap between texts", said="generated text every {}", least=0.01, pace=True),
    Figure(key="median_gap", name="gap between events", said="an event every {}", least=0.01, pace=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The error of both runs' measuring machines, in seconds: usual, and the longest that one of them stood still."""

    usual: float
    frozen: float


def machine(now: Run, before: Run) -> Machine:
    """The error that a difference between two runs may have."""
    return Machine(
        usual=_ERRORS * (now.environment.usual_error + before.environment.usual_error),
        frozen=max(now.environment.loop_lag_max, before.environment.loop_lag_max),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Times:
    """The values of one figure of a probe's streams, in seconds. `usual` is what streams of these runs vary by."""

    figure: Figure
    probe: str
    now: Sequence[float]
    before: Sequence[float]
    usual: float

    @property
    def alone(self) -> bool:
        """Whether one of the runs has one stream only."""
        return min(len(self.now), len(self.before)) < 2


def time_tests(groups: Mapping[str, Group], error: Machine, held: Collection[str] = ()) -> Iterable[Test]:
    """The comparisons of times: of each figure, for each probe; of those whose events were `held` back not the pace."""
    for figure in FIGURES:
        compared = {probe: group for probe, group in groups.items() if not (figure.pace and probe in held)}
        values = {probe: (_values(now, figure.key), _values(before, figure.key)) for probe, (now, before) in compared.items()}
        usual = usual_spread(itertools.chain(*values.values()))
        for probe, (new, old) in values.items():
            if new and old:
                yield partial(_time_change, _Times(figure=figure, probe=probe, now=new, before=old, usual=usual), error)


def _values(streams: Sequence[RunStream], key: str) -> list[float]:
    return [value for stream in streams if (value := getattr(stream, key)) is not None]


def _time_change(times: _Times, error: Machine, tail: float) -> Change | None:
    now, before = level(times.now, times.usual), level(times.before, times.usual)
    longer = now.low - before.high >= before.low - now.high
    lower, upper = (before, now) if longer else (now, before)
    # Of an even number of streams the middle two are taken so that they differ less: of two, one alone never decides.
    ratio, seconds = upper.low - lower.high, math.exp(upper.low) - math.exp(lower.high)
    if seconds < max(times.figure.least, error.usual):
        return None
    noise = ALONE if times.alone else max(allowance(now, before, tail), SMALLEST)
    sure = not times.alone and ratio > allowance(now, before, tail, DRIFT) and seconds > times.figure.least + error.frozen
    if not sure and ratio <= noise:
        return None
    # Said of the shorter time: of the longer one, which may be the fault, it would look like more than there is.
    explained = None if times.alone else round(math.exp(lower.high) * math.expm1(noise), 6)
    return _changed_time(times, explained, longer=longer, sure=sure)


def _changed_time(times: _Times, explained: float | None, *, longer: bool, sure: bool) -> Change:
    figure, after, instead = times.figure, median(times.now), median(times.before)
    return Change(
        probe=times.probe,
        figure=figure.key,
        name=figure.name,
        before=round(instead, 6),
        after=round(after, 6),
        noise=explained,
        unit="s",
        direction="worse" if longer else ("changed" if figure.pace else "better"),
        confidence="likely" if sure else "possible",
        detail=f"{figure.said.format(format_duration(after))} instead of {format_duration(instead)}; {_vary(explained, sure=sure)}",
    )


def _vary(explained: float | None, *, sure: bool) -> str:
    if explained is None:
        return "one stream alone does not show how much it varies"
    vary = f"within the two runs it varies by up to {format_duration(explained)}"
    return vary if sure else f"{vary}, but from run to run it may by more"


def rate_tests(groups: Mapping[str, Group]) -> Iterable[Test]:
    """The comparison of each probe's success rate."""
    for probe, (now, before) in groups.items():
        new, old = _parts(now), _parts(before)
        if new and old:
            yield partial(_rate_change, probe, new, old)


def _parts(streams: Sequence[RunStream]) -> list[tuple[int, int]]:
    return [(min(s.on_time_events, s.expected_events), s.expected_events) for s in streams if s.expected_events]


def _rate_change(probe: str, now: Sequence[tuple[int, int]], before: Sequence[tuple[int, int]], tail: float) -> Change | None:
    new, old = share(now), share(before)
    points = 100 * abs(new.share - old.share)
    alone = min(len(now), len(before)) < 2
    noise = _ALONE_POINTS if alone else max(100 * share_allowance(new, old, tail), _POINTS)
    if points <= noise:
        return None
    worse = new.share < old.share
    sure = (
        not alone
        and points > _SURE_POINTS
        and 100 * abs(_without_worst(now if worse else before) - max(new.share, old.share)) > _SURE_POINTS
    )
    after, instead = (percent(sum(part for part, _ in parts), sum(whole for _, whole in parts)) for parts in (now, before))
    varies = "one stream alone does not show how much it varies" if alone else f"chance explains up to {noise:.2g} points"
    return Change(
        probe=probe,
        figure="success_rate",
        name="events on time",
        before=instead,
        after=after,
        noise=None if alone else round(noise, 1),
        unit="%",
        direction="worse" if worse else "better",
        confidence="likely" if sure else "possible",
        detail=f"{after:g} % of the events on time instead of {instead:g} %; {varies}",
    )


def _without_worst(parts: Sequence[tuple[int, int]]) -> float:
    """The share without the worst streams, half the square root of their number: so many may be broken off by chance alone.

    They come too seldom for any interval: of 20 streams one, of 200 four, and by chance now and then two or seven.
    """
    kept = sorted(parts, key=lambda p: p[0] / p[1])[max(1, round(math.sqrt(len(parts)) / 2)) :]
    return sum(part for part, _ in kept) / sum(whole for _, whole in kept)
