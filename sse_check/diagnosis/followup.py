"""What would decide: the follow-ups that a run asks for, one factor changed in each.

A healthy stream asks for none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sse_check.diagnosis.cutting import broke_off
from sse_check.diagnosis.gradual import collected, silent
from sse_check.diagnosis.holding import came_at_once, held_back, late_head
from sse_check.diagnosis.opening import company_of, in_trouble, replay
from sse_check.diagnosis.shape import cut_in_silence
from sse_check.diagnosis.sign import Company
from sse_check.metrics import StreamMetrics
from sse_check.recording import Factor


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """Ask a probe's stream again, so many times one after the other, with one factor changed.

    `last_event_id` is what a reconnect sends; empty for every other factor.
    """

    probe: str
    factor: Factor
    times: int
    last_event_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    factor: Factor
    times: int
    when: Callable[[StreamMetrics, Company], bool]


_QUESTIONS: Final = (
    # Does it stream without compression?
    _Question(factor="identity", times=1, when=lambda m, _: _kept_back(m)),
    # Does one work by itself? Then it is their number. Twice, as places are given back only after a while.
    _Question(factor="alone", times=2, when=lambda m, company: company.streams > 1 and in_trouble(m, company)),
    # A late head: a cold start, or always? Old events: the same ones again?
    _Question(factor="again", times=1, when=lambda m, _: late_head(m) or replay(m) is not None),
    # Cut: after the same silence?
    _Question(factor="again", times=1, when=lambda m, _: broke_off(m) and cut_in_silence(m)),
    # Cut: at the same age? Two cuts at one age may be chance, three are not.
    _Question(factor="again", times=2, when=lambda m, _: broke_off(m) and not cut_in_silence(m)),
    # Cut: does it go on where it was, as an EventSource would ask?
    _Question(factor="resume", times=1, when=lambda m, _: broke_off(m) and bool(m.stream.last_event_id) and m.stream.method == "GET"),
    # Does it come from the application like that?
    _Question(
        factor="direct",
        times=1,
        when=lambda m, _: m.probe.compare is not None and (_kept_back(m) or came_at_once(m) or broke_off(m) or late_head(m)),
    ),
)


def _kept_back(m: StreamMetrics) -> bool:
    return held_back(m) is not None or collected(m) is not None or silent(m)


def follow_ups(metrics: Sequence[StreamMetrics]) -> tuple[FollowUp, ...]:
    """The follow-ups that would decide what a run left open, each probe and factor once."""
    asked: dict[tuple[str, Factor], FollowUp] = {}
    peers: dict[str, list[StreamMetrics]] = {}
    for m in metrics:
        peers.setdefault(m.stream.probe, []).append(m)
    companies = {probe: company_of(mine) for probe, mine in peers.items()}
    for m in metrics:
        for question in _QUESTIONS:
            if question.when(m, companies[m.stream.probe]):
                key = (m.stream.probe, question.factor)
                last = m.stream.last_event_id if question.factor == "resume" else ""
                if key not in asked or asked[key].times < question.times:
                    asked[key] = FollowUp(probe=m.stream.probe, factor=question.factor, times=question.times, last_event_id=last)
    return tuple(asked.values())
