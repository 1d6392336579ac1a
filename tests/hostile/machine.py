"""The verdict under a starved, frozen or poor machine: never a wrong `not-viable`, and nothing that is held back called viable.

The server is a process of its own and is not starved where that is permitted, as a deployment is another machine; what starves is the
machine that measures. Each run is a real one: `sse-check run` as users start it.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.process import COMMAND, ROOT

# What each run asks of a stream that is as it should be. Criteria are of a whole scenario, so there are several.
_USUAL: Final = "{name: at once, path: '/events?count=10&every=100ms', until: {event: complete}, streams: 3}"
_FAST: Final = "{name: fast, path: '/events?count=100&every=20ms', until: {event: complete}}"
_STAMPED: Final = (
    "{name: stamped, path: '/events?count=10&every=100ms', until: {event: complete}, timestamps: {field: sent_at, unit: s}, "
    "expect: {events: 11, every: 100ms}}"
)
_LATE: Final = "{name: late, path: '/events?count=5&every=100ms&first=200ms', until: {event: complete}, streams: 3}"
SCENARIOS: Final = {
    "default criteria": f"criteria: {{}}\nprobes: [{_USUAL}, {_FAST}, {_STAMPED}]",
    "first event within 300 ms": f"criteria: {{first_event: 300ms}}\nprobes: [{_USUAL}, {_LATE}, {_FAST}]",
    "ended early": f"criteria: {{first_event: 1s, event_deadline: 4s, decide: early}}\nprobes: [{_USUAL}, {_FAST}, {_STAMPED}]",
    "deadline from sent": f"criteria: {{event_deadline: 500ms, deadline_from: sent}}\nprobes: [{_USUAL}, {_STAMPED}]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Starvation:
    """What keeps the measuring process from a processor: busy neighbours, on its own core where `pinned`; its priority; stops at random.

    `frozen` is for how many seconds at least and at most it is stopped each time, as a virtual machine is paused.
    """

    hogs: int = 0
    pinned: bool = False
    nice: int = 0
    frozen: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a run came to."""

    verdict: str
    codes: tuple[str, ...]
    lag: float
    reasons: tuple[str, ...]


@contextmanager
def hogs(number: int, core: int | None = None) -> Iterator[None]:
    """So many processes that do nothing but keep a core busy, while the context lasts."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        for process in busy:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def checked(base: str, scenario: str, starved: Starvation, *, seed: int) -> Seen:
    """One run against a server, starved all the while."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plan = folder / "scenario.yml"
        plan.write_text(f"version: 1\ntarget: {{url: '{base}'}}\n{scenario}\n", encoding="utf-8")
        core = max(os.sched_getaffinity(0)) if starved.pinned else None
        stack.enter_context(hogs(starved.hogs, core))
        process = subprocess.Popen(
            [*COMMAND, "run", str(plan), "--report-dir", str(folder / "report"), "--format", "json"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        os.setpriority(os.PRIO_PROCESS, process.pid, starved.nice)
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        if starved.frozen is not None:
            threading.Thread(target=_freeze, args=(process, starved.frozen, random.Random(seed)), daemon=True).start()
        out, err = process.communicate(timeout=120)
        if process.returncode not in (0, 1, 3):
            raise AssertionError(f"status {process.returncode}: {err[-2000:]}")
        report: dict[str, Any] = json.loads(out)
        if keep := os.environ.get("KEEP"):
            (folder / "report").rename(f"{keep}/{report['verdict']}-{seed}-{time.time()}")
    codes = [finding["code"] for finding in report["findings"]]
    return Seen(
        verdict=report["verdict"],
        codes=tuple(codes),
        lag=report["environment"]["loop_lag_max"],
        reasons=tuple(report.get("reasons", ())),
    )


def _freeze(process: "subprocess.Popen[str]", lengths: tuple[float, float], rng: random.Random) -> None:
    """Stop a process and let it go on, at random, until it is over."""
    time.sleep(rng.uniform(0.2, 1.0))
    while process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        time.sleep(rng.uniform(*lengths))
        process.send_signal(signal.SIGCONT)
        time.sleep(rng.uniform(0.2, 1.2))
