"""Which streams run when: the phases of a run, its budget, and its orderly end.

1. *connect*: the health check, if the scenario names one; where it is not answered with 200 nothing else is asked.
2. *stream*: each probe of one stream, alone and in the scenario's order.
3. *concurrency*: each probe of several streams, all of them at once.
4. *follow-up*: what the judging half asks for, to find a fault's cause.
5. *resume*: streams that are cut on purpose and asked for again, where a probe wants it.
6. *limits*: streams that look for the limits of the way, all at once, where a probe wants it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from sse_check.bounds import Account
from sse_check.live import LiveStream
from sse_check.machine import Machine
from sse_check.plan import StreamPlan
from sse_check.planning import Planner
from sse_check.probe import DECIDED, Stop, observe
from sse_check.reconnect import resumed
from sse_check.recording import Calibration, Environment, Recording, StreamRecording
from sse_check.redaction import Redactor
from sse_check.scenario import Instance, Scenario
from sse_check.scenario.redacted import redact_scenario
from sse_check.transport import Clock, Fetch
from sse_check.transport.http1 import fetch as fetch_http1
from sse_check.transport.http2 import Http2

# Connections that are being made at a time. A server queues so many before it refuses or forgets some: 128 on Linux before
# 5.4 (net.core.somaxconn), and what many programs still ask for.
MOST_OPENING: Final = 100
_TURN_S: Final = 0.001
_GLANCE_S: Final = 0.25  # how soon a stop is seen while a ramp waits
# Before a follow-up: servers and proxies notice only after a while that the streams before it are closed.
_SETTLE_S: Final = 0.5
# How often open streams are looked at for whether the verdict is certain: a run is short or long by seconds.
_LOOK_S: Final = 0.25


class Decide(Protocol):
    """Says why nothing that may still come can change the verdict, or None; `lag` is the machine's longest lateness so far, in seconds."""

    def now(self, lives: Sequence[LiveStream], at_ns: int, lag: float) -> str | None:
        """While these streams are open."""

    def after(self, streams: Sequence[StreamRecording], lag: float) -> str | None:
        """Of all streams so far, while none is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run needs beside the scenario. `watch` is called with each stream before it is opened.

    `decide` may end the run before the scenario does; None: the scenario ends it.
    `account` is of what all its streams keep. `addresses` are the host names of the run's own services, and where they are reached.
    """

    redactor: Redactor
    stop: Stop
    clock: Clock = time.monotonic_ns
    hosts: tuple[str, ...] | None = None
    addresses: Mapping[str, str] = field(default_factory=dict)
    watch: Callable[[LiveStream], None] = lambda live: None
    calibration: Calibration | None = None
    decide: Decide | None = None
    account: Account = field(default_factory=Account)


class Session:
    """One run: observes groups of streams as they are asked for, within the scenario's budget, and makes the recording."""

    def __init__(self, scenario: Scenario, run: Run) -> None:
        """Begin: from here on the budget counts. Needs a running event loop."""
        self._scenario = scenario
        self._run = run
        self._started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.began_ns = run.clock()
        self._machine = Machine()
        self._streams: list[StreamRecording] = []
        self._decided: str | None = None
        self._budget = asyncio.get_running_loop().call_later(scenario.budget, run.stop.trip, "budget")

    async def observe(self, groups: Sequence[Sequence[StreamPlan]]) -> bool:
        """Open the groups one after the other, up to the first that the health check or a stop forbids; whether none did."""
        async with self._machine.watched():
            return await self._observe(groups)

    def decided(self) -> bool:
        """Whether the verdict is certain by now, so that nothing more needs to be asked but what explains it. To be called before something is."""
        if self._decided is None and self._run.decide is not None:
            self._decided = self._run.decide.after(self._streams, self._machine.lag_max)
        return self._decided is not None

    async def search(self, plans: Sequence[StreamPlan]) -> None:
        """Open streams that look for limits: all at once, and each on a connection of its own, as a proxy times connections too."""
        async with self._machine.watched():
            found = await asyncio.gather(*(_together([plan], self._run, self.began_ns) for plan in plans))
            self._streams += [stream for group in found for stream in group]

    async def resume(self, plan: StreamPlan, after: int, instance: Instance | None) -> None:
        """Cut a stream on purpose after so many events, and ask for it again."""

        async def open_stream(of: StreamPlan) -> StreamRecording:
            return (await _together([of], self._run, self.began_ns))[0]

        async with self._machine.watched():
            self._streams += await resumed(plan, after, instance=instance, open_stream=open_stream, stop=self._run.stop)

    async def _observe(self, groups: Sequence[Sequence[StreamPlan]]) -> bool:
        for group in groups:
            if group[0].phase == "follow-up":
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._run.stop.wait(), _SETTLE_S)
            elif self.decided():
                return False
            if self._run.stop.why is not None:
                return False
            self._streams += await self._group(group)
            if group[0].phase == "connect" and not _healthy(self._streams[-1]):
                return False
        return True

    async def _group(self, group: Sequence[StreamPlan]) -> list[StreamRecording]:
        """Streams that are opened together, up to their ends or to where the verdict is certain without the rest of them."""
        if self._run.decide is None or group[0].phase not in ("stream", "concurrency"):
            return await _together(group, self._run, self.began_ns)
        stop, lives = Stop(), list[LiveStream]()

        def watch(live: LiveStream) -> None:
            lives.append(live)
            self._run.watch(live)

        looking = asyncio.ensure_future(self._look(self._run.decide, lives, stop))
        try:
            return await _together(group, replace(self._run, stop=stop, watch=watch), self.began_ns)
        finally:
            looking.cancel()
            [failed] = await asyncio.gather(looking, return_exceptions=True)
            if isinstance(failed, Exception):
                raise failed

    async def _look(self, decide: Decide, lives: Sequence[LiveStream], stop: Stop) -> None:
        """Trip `stop` as soon as the verdict is certain, or the run itself is stopped."""
        try:
            while self._run.stop.why is None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._run.stop.wait(), _LOOK_S)
                    break
                self._decided = decide.now(lives, self._run.clock(), self._machine.lag_max)
                if self._decided is not None:
                    stop.trip(DECIDED)
                    return
        finally:
            stop.trip(self._run.stop.why or "defect")  # nothing else would end the group, if this fails

    def recording(self) -> Recording:
        """What was observed so far."""
        return Recording(
            started_at=self._started_at,
            scenario=redact_scenario(self._scenario, self._run.redactor),
            environment=self.environment(),
            streams=tuple(self._streams),
            interrupted=self._run.stop.why,
            decided=self._decided,
        )

    def environment(self) -> Environment:
        """What is known of the measuring machine so far."""
        return self._machine.environment(self._run.redactor, self._run.calibration)

    def lag_max(self) -> float:
        """Its longest lag so far, in seconds."""
        return self._machine.lag_max

    def close(self) -> None:
        """The budget counts no more."""
        self._budget.cancel()


async def run(scenario: Scenario, run: Run) -> Recording:
    """Observe all that the scenario asks for. What was measured is returned however the run ends."""
    session = Session(scenario, run)
    try:
        await session.observe(Planner(scenario, hosts=run.hosts, addresses=run.addresses).groups())
        return session.recording()
    finally:
        session.close()


async def _together(group: Sequence[StreamPlan], run: Run, began: int) -> list[StreamRecording]:
    lives = [LiveStream(p, redactor=run.redactor, account=run.account) for p in group]
    for live in lives:
        run.watch(live)
    async with Http2() as http2:

        def fetch(plan: StreamPlan) -> Fetch:
            # Past the proxies an application seldom speaks HTTP/2, and whether it streams does not depend on it.
            return http2.fetch if plan.http2 and plan.factor != "direct" else fetch_http1

        return await asyncio.gather(
            *[
                asyncio.ensure_future(
                    observe(
                        live.plan,
                        clock=run.clock,
                        redactor=run.redactor,
                        run_started_ns=began,
                        stop=run.stop,
                        live=live,
                        fetch=fetch(live.plan),
                    )
                )
                async for live in _in_turn(lives, run.stop)
            ]
        )


async def _in_turn(lives: Sequence[LiveStream], stop: Stop) -> AsyncIterator[LiveStream]:
    """Each stream when it is to be opened: by its ramp, and no more at a time than a server takes. A stop opens all the rest."""
    began = time.monotonic()
    opening: list[LiveStream] = []
    for live in lives:
        while stop.why is None:
            opening = [other for other in opening if other.opening]
            wait = live.plan.opens_after - (time.monotonic() - began)
            if wait <= 0 and len(opening) < MOST_OPENING:
                break
            await asyncio.sleep(min(max(wait, _TURN_S), _GLANCE_S))
        opening.append(live)
        yield live


def _healthy(stream: StreamRecording) -> bool:
    """The scenario's own condition for going on, not a judgement: the health path must answer 200."""
    return stream.head is not None and stream.head.status == 200
