"""A stream that is cut on purpose and asked for again, as an EventSource does it after a broken connection.

HTML Standard, section 9.2.3: wait for the reconnection time, send `Last-Event-ID` if there is one, and give up for good
on any status but 200 and on any other content type; a network error is followed by another try.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from sse_check.instances import instance_of
from sse_check.plan import StreamPlan
from sse_check.probe import Stop
from sse_check.recording import StreamRecording
from sse_check.scenario import Instance, Until
from sse_check.transport import resuming

Open = Callable[[StreamPlan], Awaitable[StreamRecording]]

# The standard leaves the first value to the browser; Chromium has 3 s, Firefox 5.
RECONNECTION_TIME_S: Final = 3.0
# A server may ask for hours; a check does not wait so long, and the recording shows that it did not.
LONGEST_WAIT_S: Final = 30.0
_NETWORK_TRIES: Final = 3
# So often a further connection is made in the hope of another instance.
_INSTANCE_TRIES: Final = 4


async def resumed(plan: StreamPlan, after: int, *, instance: Instance | None, open_stream: Open, stop: Stop) -> list[StreamRecording]:
    """The stream up to `after` events, then its reconnects, all of them with the last event ID of the first.

    The first reconnect that is answered is read to the probe's own end. Where responses say which instance made them,
    further ones follow until one came from another instance than the first; they are read for `after` events.
    """
    first = await open_stream(replace(plan, phase="resume", stream=1, until=Until(events=after)))
    streams = [first]
    if first.planned_end != "events":
        return streams  # it ended by itself: there is nothing to resume
    wait = RECONNECTION_TIME_S if first.retry_ms is None else first.retry_ms / 1000
    again = replace(plan, phase="resume", request=resuming(plan.request, first.last_event_id))
    home = instance_of(first.head, instance)
    failed, answered = 0, 0
    while failed < _NETWORK_TRIES and stop.why is None:
        await _unless_stopped(stop, min(wait, LONGEST_WAIT_S))
        if stop.why is not None:
            break
        until = plan.until if not answered else Until(events=after)
        stream = await open_stream(replace(again, stream=len(streams) + 1, until=until))
        streams.append(stream)
        if stream.head is None:
            failed += 1
            continue
        answered += 1
        landed = instance_of(stream.head, instance)
        if stream.head.status != 200 or landed is None or landed != home or answered > _INSTANCE_TRIES:
            break
    return streams


async def _unless_stopped(stop: Stop, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
