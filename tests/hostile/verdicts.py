"""Verdicts on recorded streams as a late machine would have seen them: never a healthy one `not-viable`, never a faulty one `viable`.

Healthy and faulty recordings are those of tests/recordings, and invented ones of other shapes; what a late machine makes of them is in
tests/support/late_machine.py. A case is a number: the same number is the same recording, the same noise and the same verdict.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import yaml

from sse_check.recording import Reads, Recording, StreamRecording, from_lines
from sse_check.verdict import judge
from tests.hostile.row import Row
from tests.support.late_machine import Late, seen_by
from tests.support.streams import answer, every, probe, recording, scenario, stream

_RECORDED: Final = Path(__file__).parents[1] / "recordings"
CASES: Final = 1000


# --- what is seen -----------------------------------------------------------------------------------------------------


def _recorded(*verdicts: str) -> dict[str, Recording]:
    expected = yaml.safe_load((_RECORDED / "expected.yml").read_text())
    found = {}
    for name, of in expected.items():
        if of["verdict"] in verdicts:
            with (_RECORDED / f"{name}.ndjson").open("rb") as lines:
                found[name] = from_lines(lines, file=name)
    return found


def _many(number: int, rng: random.Random, *, count: int = 10, over_s: float = 0.5) -> list[StreamRecording]:
    """So many streams at once, opened within a moment, each by its own server's pace."""
    found = []
    for index in range(number):
        sent = [round(t + rng.uniform(0, 0.02), 6) for t in every(0.2, count)]
        arrived = [t + rng.uniform(0.001, 0.004) for t in sent]
        opened = rng.uniform(0, over_s)
        found.append(
            stream(arrived, sent=sent, number=index + 1, phase="concurrency", run_ns=round(opened * 1e9), head_at=rng.uniform(0.01, 0.05))
        )
    return found


def _big_events(rng: random.Random) -> StreamRecording:
    """Events of many reads each: all but the last read of one end inside of it."""
    sent = every(0.3, 8)
    whole = stream([t + 0.01 for t in sent], sent=sent)
    at, cut, of_event = list[int](), list[bool](), list[int]()
    for arrived in whole.events.at_ns:
        pieces = rng.randrange(2, 30)
        at += [arrived - (pieces - 1 - piece) * 200_000 for piece in range(pieces)]
        cut += [True] * (pieces - 1) + [False]
        of_event.append(len(at) - 1)
    sizes = [16_384] * len(at)
    reads = Reads(at_ns=at, wire_bytes=sizes, body_bytes=list(sizes), mid_event=cut)
    return msgspec.structs.replace(whole, reads=reads, events=msgspec.structs.replace(whole.events, read=of_event))


def _tokens(rng: random.Random) -> list[float]:
    at, times = 0.3, []
    for _ in range(120):
        at += rng.choice((0.004, 0.02, 0.03, 0.05))
        times.append(round(at, 6))
    return times


@cache
def healthy() -> dict[str, Recording]:
    """Recordings of streams that are as they should be, each shape by its name."""
    rng = random.Random(1)
    of_length = probe(until={"events": 20})
    tokens = _tokens(rng)
    bursts = [round(turn * 0.6 + place * 0.002 + 0.1, 6) for turn in range(12) for place in range(4)]
    h2 = answer()
    h2 = msgspec.structs.replace(h2, protocol="h2", reason="")
    flush = stream([t + 0.012 for t in every(0.25, 20)], sent=every(0.25, 20), head=answer(content_encoding="gzip"))
    beats = [t + 0.1 for t in every(1.0, 30) if t > 1.5]
    shapes = {
        "steady": recording(stream(every(1.0, 20))),
        "steady, hints": recording(stream(every(0.5, 20)), scenario=scenario(probe(expect={"events": 20, "every": 0.5}))),
        "steady, stamps": recording(stream([t + 0.02 for t in every(0.2, 40)], sent=every(0.2, 40))),
        "slow, stamps": recording(stream([t + 0.03 for t in every(2.0, 10)], sent=every(2.0, 10))),
        "bursts": recording(stream(bursts)),
        "bursts, stamps": recording(stream([t + 0.01 for t in bursts], sent=bursts)),
        "tokens": recording(stream(tokens, tokens=[4] * len(tokens)), scenario=scenario(probe(expect={"gradual": True}))),
        "tokens, stamps": recording(
            stream([t + 0.01 for t in tokens], sent=tokens, tokens=[4] * len(tokens)), scenario=scenario(probe(expect={"gradual": True}))
        ),
        "heartbeats in long silence": recording(
            stream([0.1, 30.2], comments=beats, ended="until", planned_end="duration", end=32.0),
            scenario=scenario(probe(until={"duration": 32.0}, expect={"heartbeat": 1.0}), event_deadline=40.0),
        ),
        "first event within 300 ms": recording(
            stream([t + 0.02 for t in every(0.2, 20)], sent=every(0.2, 20)), scenario=scenario(first_event=0.3)
        ),
        "deadline from the event before": recording(
            stream(every(1.0, 40)), scenario=scenario(event_deadline=2.0, deadline_from="previous")
        ),
        "deadline from the sending": recording(
            stream([t + 0.02 for t in every(0.2, 30)], sent=every(0.2, 30)),
            scenario=scenario(event_deadline=0.5, deadline_from="sent"),
        ),
        "HTTP/2": recording(
            *[stream([t + 0.01 for t in every(0.2, 20)], sent=every(0.2, 20), head=h2, number=n, phase="concurrency") for n in (1, 2, 3)],
            scenario=scenario(probe(streams=3)),
        ),
        "gzip": recording(flush),
        "big events": recording(_big_events(rng)),
        "a number of events": recording(stream(every(0.3, 20), ended="until", planned_end="events"), scenario=scenario(of_length)),
        "3 streams": recording(*_many(3, rng, count=20), scenario=scenario(probe(streams=3))),
        "3 streams, opened at one moment": recording(*_many(3, rng, over_s=0.02), scenario=scenario(probe(streams=3))),
        "50 streams": recording(*_many(50, rng), scenario=scenario(probe(streams=50))),
    }
    return shapes | _recorded("viable")


@cache
def crowd() -> Recording:
    """A thousand healthy streams at once: as many events as hundreds of the others, so it is seen less often."""
    return recording(*_many(1000, random.Random(2), count=5, over_s=1.0), scenario=scenario(probe(streams=1000)))


@cache
def faulty() -> dict[str, Recording]:
    """Recordings that must not be called viable, each by its name."""
    sent = every(0.2, 20)
    held = [0.2 * 20 + 0.05] * 20
    blocks = [round(0.2 * (turn // 7 * 7 + 7), 6) for turn in range(20)]
    timer = [round((int(t / 0.9) + 1) * 0.9, 6) for t in sent]
    return {
        "all held": recording(stream(held, sent=sent)),
        "blocks": recording(stream(blocks, sent=sent)),
        "timer": recording(stream(timer, sent=sent)),
        "one behind": recording(stream([t + 0.5 for t in every(0.5, 19)] + [9.6], sent=[*every(0.5, 20)])),
        "late": recording(stream([t + 3.0 for t in sent])),
    } | _recorded("not-viable")


# --- by whom it is seen -----------------------------------------------------------------------------------------------

Noise = Callable[[random.Random], Late]


def _freezes(rng: random.Random, number: int, lengths: tuple[float, float], until: float = 12.0) -> tuple[tuple[float, float], ...]:
    begins = sorted(rng.uniform(0, until) for _ in range(number))
    found: list[tuple[float, float]] = []
    for begin in begins:
        begin = max(begin, found[-1][1] + 0.005 if found else 0.0)
        found.append((begin, begin + rng.uniform(*lengths)))
    return tuple(found)


def _starved(
    rng: random.Random, awake: tuple[float, float], waiting: tuple[float, float], until: float = 45.0
) -> tuple[tuple[float, float], ...]:
    at, found = 0.0, []
    while at < until:
        begin = at + rng.uniform(*awake)
        at = begin + rng.uniform(*waiting)
        found.append((begin, at))
    return tuple(found)


def _frozen_at_heads(rng: random.Random) -> tuple[tuple[float, float]]:
    """From a moment in which some of several streams were answered, and others were not."""
    begin = rng.uniform(0.005, 0.06)
    return ((begin, begin + rng.uniform(0.5, 4.0)),)


NOISES: Final[dict[str, Noise]] = {
    "none": lambda rng: Late(),
    "turns of 1 to 10 ms": lambda rng: Late(frozen=_starved(rng, (0.001, 0.02), (0.001, 0.01))),
    "its own clock, up to 30 ms late": lambda rng: Late(kernel=False, own_s=rng.uniform(0.001, 0.03)),
    "its own clock, turns of 5 to 80 ms": lambda rng: Late(kernel=False, own_s=0.002, frozen=_starved(rng, (0.005, 0.05), (0.005, 0.08))),
    "waits of 50 to 200 ms": lambda rng: Late(frozen=_starved(rng, (0.01, 0.2), (0.05, 0.2))),
    "one freeze of 0.3 to 3 s": lambda rng: Late(frozen=_freezes(rng, 1, (0.3, 3.0), until=4.0)),
    "one freeze, its own clock": lambda rng: Late(kernel=False, own_s=0.001, frozen=_freezes(rng, 1, (0.3, 3.0), until=4.0)),
    "frozen at the request": lambda rng: Late(frozen=((0.0, rng.uniform(0.02, 3.0)),), requests=True, kernel=rng.random() < 0.5),
    "frozen while heads come": lambda rng: Late(frozen=_frozen_at_heads(rng), kernel=False, own_s=0.001),
    "paused while heads come": lambda rng: Late(frozen=_frozen_at_heads(rng), paused=True),
    "several freezes, requests late": lambda rng: Late(frozen=_freezes(rng, 5, (0.05, 1.5)), requests=True, kernel=rng.random() < 0.5),
    "the machine paused": lambda rng: Late(paused=True, frozen=_freezes(rng, rng.randrange(1, 4), (0.1, 4.0), until=6.0), requests=True),
    "starved": lambda rng: Late(frozen=_starved(rng, (0.005, 0.02), (0.1, 0.6)), requests=True, kernel=rng.random() < 0.5),
    "a bad calibration": lambda rng: Late(frozen=_freezes(rng, 3, (0.01, 0.2)), calibration=rng.uniform(0.001, 0.1)),
}
# A machine of this noise must still be able to say yes.
SMALL: Final = ("none", "turns of 1 to 10 ms", "its own clock, up to 30 ms late")


def verdict_of(case: int, kind: str, recordings: dict[str, Recording]) -> tuple[str, str, tuple[str, ...]]:
    """The name of the recording that a case is about, its verdict under this noise, and the codes found."""
    rng = random.Random(f"{kind} {case}")
    name = rng.choice(sorted(recordings))
    outcome = judge(seen_by(NOISES[kind](rng), recordings[name], rng))
    return name, outcome.verdict, tuple(f.code for f in outcome.findings)


def counts(recordings: dict[str, Recording], cases: int, wrong: str) -> Iterator[tuple[str, Counter[str], list[str]]]:
    """For each kind of noise the verdicts, and which cases came to the one that would be wrong."""
    for kind in NOISES:
        verdicts: Counter[str] = Counter()
        failed = []
        for case in range(cases // len(NOISES) + 1):
            name, verdict, codes = verdict_of(case, kind, recordings)
            verdicts[verdict] += 1
            if verdict == wrong:
                failed.append(f"{name} (case {case}): {', '.join(codes) or 'a criterion'}")
        yield kind, verdicts, failed


def rows() -> Iterator[Row]:
    """20,000 verdicts on healthy streams, a thousand streams at once among them, and 5,000 on faulty ones."""
    for what, recordings, cases, wrong in (("healthy", healthy(), 20 * CASES, "not-viable"), ("faulty", faulty(), 5 * CASES, "viable")):
        for kind, verdicts, failed in counts(recordings, cases, wrong):
            yield Row(part="verdicts", attempt=f"{what} streams, {kind}", seen=_said(verdicts, failed), held=not failed)
    for kind, verdicts, failed in counts({"1,000 streams": crowd()}, 3 * len(NOISES), "not-viable"):
        yield Row(part="verdicts", attempt=f"1,000 healthy streams, {kind}", seen=_said(verdicts, failed), held=not failed)


def _said(verdicts: Counter[str], failed: list[str]) -> str:
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    return told + (f"; first wrong: {failed[0]}" if failed else "")
