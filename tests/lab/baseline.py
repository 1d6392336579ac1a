"""How often a run is called worse than an earlier one: without a reason, and with one. Prints the tables.

    python -m tests.lab.baseline            # all of it, some 10 minutes on two cores
    python -m tests.lab.baseline simulated  # invented runs only: false alarms and changes noticed
    python -m tests.lab.baseline real       # runs against the embedded server, and through nginx

An alarm is a run with at least one `regression` finding; listed is one that names a change for the worse, sure or not.
"""

import asyncio
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import msgspec

from sse_check.baseline import Run, compare, regressions
from sse_check.baseline.run import RunBound, RunLimits
from sse_check.demo import demo_server
from sse_check.pipeline import check
from sse_check.scenario import Probe, Scenario, Target, Until
from tests.lab.proxies import NGINX, running
from tests.support.noise import Noise, Truth, invented

PAIRS: Final = 10_000
FEW: Final = 1_000  # pairs of runs with many streams, and for each change that is to be noticed
REAL_PAIRS: Final = 160

SHAPES: Final = ((1,), (2,), (3,), (3, 1), (3, 3, 3, 3), (20,), (200,))
NOISES: Final = {
    "log-normal 0.2": Noise(),
    "log-normal 0.5": Noise(within=0.5),
    "2 % take 10 times": Noise(within=0.3, outliers=0.02),
    "Pareto 1.5": Noise(pareto=1.5),
    "events lost 1 %": Noise(lost=0.01),
    "events lost 5 %, streams cut 2 %": Noise(lost=0.05, cut=0.02),
    "runs differ 0.1": Noise(drift=0.1),
    "runs differ 0.2": Noise(drift=0.2),
    "all of it": Noise(within=0.3, outliers=0.02, drift=0.15, lost=0.01, cut=0.02),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Pairs of runs, those with an alarm, and those with a change for the worse listed."""

    pairs: int
    alarms: int
    listed: int

    def __str__(self) -> str:
        return f"{100 * self.alarms / self.pairs:6.2f} /{100 * self.listed / self.pairs:6.2f}"


def count(pairs: Iterator[tuple[Run, Run]]) -> Counts:
    """What comes of comparing pairs of runs: now, before."""
    total = alarms = listed = 0
    for now, before in pairs:
        comparison = compare(now, before)
        total += 1
        alarms += bool(regressions(comparison))
        listed += any(change.direction == "worse" for change in comparison.changes)
    return Counts(pairs=total, alarms=alarms, listed=listed)


def identical(shape: Sequence[int], noise: Noise, pairs: int, seed: int = 1) -> Counts:
    """Pairs of runs of one deployment."""
    rng = random.Random(f"{shape} {noise} {seed}")
    return count((invented(rng, shape, noise), invented(rng, shape, noise)) for _ in range(pairs))


def _identical(shape: Sequence[int], noise: Noise) -> Counts:
    return identical(shape, noise, FEW if sum(shape) > 100 else PAIRS)


def _changed(shape: Sequence[int], truth: Truth, noise: Noise, pairs: int, before: Truth) -> Counts:
    rng = random.Random(f"{shape} {truth} {noise}")
    return count((invented(rng, shape, noise, truth), invented(rng, shape, noise, before)) for _ in range(pairs))


CHANGES: Final = (
    ("first event 0.3 -> 1.2 s, 3 streams", (3,), Truth(first_event=1.2), Truth(), FEW),
    ("the same, and one cold start before", (3,), Truth(first_event=1.2), Truth(cold=True), FEW),
    ("first event 0.3 -> 0.9 s, 3 streams", (3,), Truth(first_event=0.9), Truth(), FEW),
    ("first event 0.3 -> 0.9 s, 20 streams", (20,), Truth(first_event=0.9), Truth(), FEW),
    ("one cold start now, 3 streams: no change", (3,), Truth(cold=True), Truth(), FEW),
    ("100 % -> 80 % of events, 3 streams", (3,), Truth(arrive=0.8), Truth(), FEW),
    ("100 % -> 80 % of events, 5 streams", (5,), Truth(arrive=0.8), Truth(), FEW),
    ("100 % -> 80 % of events, 20 streams", (20,), Truth(arrive=0.8), Truth(), FEW),
    ("a new fault: buffered-full, 1 stream", (1,), Truth(fault="buffered-full"), Truth(), FEW),
    ("a new fault: truncated, 3 streams", (3,), Truth(fault="truncated"), Truth(), FEW),
    ("first event +30 %, 5,000 streams", (5000,), Truth(first_event=0.39), Truth(), 20),
    ("first event doubled, 5,000 streams", (5000,), Truth(first_event=0.6), Truth(), 20),
    ("first event 2.5 times, 5,000 streams", (5000,), Truth(first_event=0.75), Truth(), 20),
)


def simulated() -> None:
    """Print what invented runs come to."""
    with ProcessPoolExecutor(2) as pool:
        print("False alarms in 100 identical runs / changes for the worse listed\n")
        print(f"{'':34}" + "".join(f"{'+'.join(map(str, shape)):>16}" for shape in SHAPES))
        cells = {(name, shape): pool.submit(_identical, shape, noise) for name, noise in NOISES.items() for shape in SHAPES}
        for name in NOISES:
            print(f"{name:34}" + "".join(f"{cells[name, shape].result()!s:>16}" for shape in SHAPES), flush=True)
        print("\nTrue changes noticed, in 100: as a regression / listed\n")
        print(f"{'':42}{'no drift':>16}{'runs differ 0.1':>17}{'runs differ 0.2':>17}")
        for name, shape, truth, before, pairs in CHANGES:
            row = [pool.submit(_changed, shape, truth, Noise(drift=drift), pairs, before) for drift in (0.0, 0.1, 0.2)]
            print(f"{name:42}" + "".join(f"{cell.result()!s:>16} " for cell in row), flush=True)
    print(f"{'limit on silence 60 s -> 30 s':42}{limit_halved()!s:>16}")


def limit_halved() -> Counts:
    """A limit on silence that fell by half, each cut late by up to a quarter of a second, as nginx is."""
    rng = random.Random(1)

    def run(limit: float) -> Run:
        cuts = sorted(limit + 0.25 * rng.random() for _ in range(3))
        idle = RunBound(seconds=cuts[1], survived=cuts[0], cuts=3, earliest=cuts[0], latest=cuts[2])
        return msgspec.structs.replace(invented(rng, (3,), Noise()), limits=(RunLimits(probe="probe 0", idle=idle),))

    return count((run(30.0), run(60.0)) for _ in range(FEW))


def scenario(base: str) -> Scenario:
    """Ten events in 0.2 s, alone and three at once."""
    path, until = "/events?count=10&every=20ms", Until(event="complete")
    return Scenario(
        version=1,
        target=Target(url=base),
        probes=(Probe(name="alone", path=path, until=until), Probe(name="three", path=path, until=until, streams=3)),
    )


def real_runs(base: str, number: int) -> list[Run]:
    """Runs of the whole check, one after the other."""

    async def one() -> Run:
        return msgspec.convert((await check(scenario(base))).result, Run, from_attributes=True)

    return [asyncio.run(one()) for _ in range(number)]


def _directly(_: ExitStack, base: str) -> str:
    return base


def _nginx(stack: ExitStack, base: str) -> str:
    config = {"location": "proxy_buffering off; proxy_http_version 1.1;"}
    return stack.enter_context(running(NGINX, config, base.removeprefix("http://")))


def _busy(stack: ExitStack, base: str) -> str:
    """The same, while two other processes want both cores."""
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        stack.callback(process.wait)
        stack.callback(process.kill)
    return _nginx(stack, base)


WAYS: Final[dict[str, Callable[[ExitStack, str], str]]] = {"directly": _directly, "through nginx": _nginx, "on busy cores": _busy}


def real(pairs: int = REAL_PAIRS) -> None:
    """Print what real runs come to: neighbours, and runs that were half of all apart."""
    print("\nReal pairs of identical runs, four streams each")
    with demo_server(None) as base:
        for name, way in WAYS.items():
            with ExitStack() as stack:
                runs = real_runs(way(stack, base), pairs)
            near = count(zip(runs[1:], runs, strict=False))
            far = count((runs[n], runs[(n + pairs // 2) % pairs]) for n in range(pairs))
            noisy = sum(run.noisy for run in runs)
            print(
                f"{name:16} {near.pairs} neighbours: {near.alarms} alarms, {near.listed} listed;"
                f" {far.pairs} far apart: {far.alarms} alarms, {far.listed} listed; {noisy} of {len(runs)} runs too noisy to compare",
                flush=True,
            )


if __name__ == "__main__":
    chosen = sys.argv[1:] or ["simulated", "real"]
    if "simulated" in chosen:
        simulated()
    if "real" in chosen:
        real()
