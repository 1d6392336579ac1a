"""The service under test, and proxies in front of it, as containers of one private network (docker SDK).

All that is started carries the run's label, and is removed by it when the check is over: after a failure, a signal, and,
by the reaper, after a kill. The check reaches the services by their addresses in that network. From inside a container
it joins the network first; outside of one, the network's bridge is on the same machine.

The SDK blocks, so it works in a daemon thread: an image that takes minutes to build, or an engine that does not answer,
must not hold up the report of an interrupted run. What is not removed by then is left to the reaper.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from sse_check.daemon import in_thread
from sse_check.probe import Stop
from sse_check.recording import ServiceRecording
from sse_check.redaction import Redactor
from sse_check.scenario import Service
from sse_check.services.deployment import Deployment

__all__ = ["Services", "deployed"]

_PATIENCE_S: Final = 60.0  # for the engine's part at the end of a run
_HURRY_S: Final = 1.5  # for each part of it once the run is interrupted: GitHub's runner kills 10 s after its first signal


class Services:
    """The services of one run, while they are up."""

    def __init__(self, deployment: Deployment, stop: Stop) -> None:
        self._deployment = deployment
        self._stop = stop

    @property
    def addresses(self) -> dict[str, str]:
        """The services' names and where they are reached."""
        return self._deployment.addresses

    @property
    def failed(self) -> bool:
        """Whether a service never got ready, so that there is nothing to be asked."""
        return self._deployment.failed

    async def recordings(self, *, logs: bool) -> tuple[ServiceRecording, ...]:
        """What has become of the services, with the end of their logs if it is wanted; without, if the engine takes too long."""
        if not self._deployment.services:
            return ()
        asking = in_thread(lambda: self._deployment.recordings(logs=logs))
        await asyncio.wait({asking}, timeout=_limit(self._stop))
        return asking.result() if asking.done() else self._deployment.recordings(logs=False, ask=False)


def _limit(stop: Stop) -> float:
    return _PATIENCE_S if stop.why is None else _HURRY_S


@asynccontextmanager
async def deployed(
    services: Mapping[str, Service], *, stop: Stop, budget: float, redactor: Redactor, tell: Callable[[str], None]
) -> AsyncIterator[Services]:
    """The services are up while the context lasts; afterwards nothing of them is left.

    `budget` is in seconds, for their start. Without services it does nothing. Raises UsageError where no engine answers.
    """
    deployment = Deployment(services, redactor, tell)
    if not services:
        yield Services(deployment, stop)
        return
    interrupted = asyncio.ensure_future(stop.wait())
    starting = in_thread(deployment.up)
    try:
        await asyncio.wait({starting, interrupted}, timeout=budget, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            stop.trip("budget")  # unless a signal came first
            deployment.give_up()
            await asyncio.wait({starting}, timeout=_HURRY_S)
        if starting.done():
            starting.result()
        yield Services(deployment, stop)
    finally:
        interrupted.cancel()
        deployment.give_up()
        # While something is still being started, only the reaper sees the end of it.
        removing = in_thread(lambda: deployment.down(finished=starting.done()))
        await asyncio.wait({removing}, timeout=_limit(stop))
