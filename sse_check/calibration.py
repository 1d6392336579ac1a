"""What this machine can resolve: its own stamps against the embedded server's, on loopback, before anything else is asked."""

import time
from typing import Final

from sse_check.metrics import percentile
from sse_check.origin import serving
from sse_check.plan import StreamPlan
from sse_check.probe import Stop, observe, own_headers
from sse_check.recording import Calibration
from sse_check.redaction import Redactor
from sse_check.scenario import Until
from sse_check.transport import Request

# Enough for a 99th percentile, in a fifth of a second.
_EVENTS: Final = 150
_EVERY_MS: Final = 1
_TIMEOUT_S: Final = 5.0
_HOST: Final = "127.0.0.1"


async def calibrate() -> Calibration | None:
    """How much later than their making events of the embedded server are stamped; None where the machine has no loopback to ask it by.

    The server's own work, some ten microseconds between the making of an event and its sending, is in it.
    """
    try:
        async with serving(_HOST) as base:
            url = f"{base}/events?count={_EVENTS}&every={_EVERY_MS}ms&first=20ms"
            # A table of addresses goes before the environment's proxy.
            request = Request(method="GET", url=url, headers=own_headers(url), addresses={_HOST: _HOST})
            plan = StreamPlan(
                probe="calibration", stream=1, phase="stream", request=request, until=Until(event="complete"), timeout=_TIMEOUT_S
            )
            stream = await observe(plan, clock=time.monotonic_ns, redactor=Redactor(), run_started_ns=time.monotonic_ns(), stop=Stop())
    except OSError:
        return None
    made = stream.events.numbers.get("sent_at", ())
    late = [stream.sent_at + at / 1e9 - moment for at, moment in zip(stream.events.at_ns, made, strict=False) if moment is not None]
    if not late:
        return None
    p50, p99 = (percentile(late, p) or 0.0 for p in (50, 99))
    return Calibration(
        samples=len(late), error_p50=round(p50, 6), error_p99=round(p99, 6), error_max=round(max(late), 6), clock=stream.clock
    )
