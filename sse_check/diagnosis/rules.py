"""The table of rules: one for each fault, in the order of causes.

How it is read:

* A rule sees one stream, and what there is to compare it with (sign.View), and either says nothing or gives a `Sign`.
  It never guesses: where the evidence decides nothing it says nothing.
* What comes first explains what comes later. A stream that was never opened has no missing events to report; a stream
  that was held back whole has no slow application. `ends` says that nothing after the rule can be judged, `explains`
  names the consequences that are not reported beside it.
* Evidence, best first: the server's own stamps; a second view of the same stream with one factor changed; the
  scenario's hints; what the stream itself shows. `confidence` follows from which evidence there was.
* Limits are constants beside the rules that use them, with the measurement or the source behind them.
"""

from typing import Final

from sse_check.diagnosis.cutting import (
    duration_limit,
    idle_timeout,
    lost_events,
    no_heartbeat,
    stalled,
    truncated,
)
from sse_check.diagnosis.holding import (
    buffered_block,
    buffered_full,
    buffered_time,
    compressed_buffered,
    delayed_headers,
    one_event_behind,
    slow_first_event,
)
from sse_check.diagnosis.opening import cached, concurrency_limited, http_error, not_sse, redirected, refused
from sse_check.diagnosis.resuming import resume_broken
from sse_check.diagnosis.sign import Rule

_HELD: Final = frozenset({"buffered-full", "one-behind", "buffered-block", "buffered-time"})
_LATE: Final = frozenset({"delayed-headers", "slow-first-event"})
_NOTHING: Final = frozenset({"stalled"})  # of a stream that does not end, nothing comes at all

RULES: Final = (
    Rule(code="concurrency-limited", severity="error", sign=concurrency_limited, ends=True),
    Rule(code="refused", severity="error", sign=refused, ends=True),
    Rule(code="http-error", severity="error", sign=http_error, ends=True),
    Rule(code="not-sse", severity="error", sign=not_sse, ends=True),
    Rule(code="cached", severity="error", sign=cached, ends=True),
    Rule(code="compressed-buffered", severity="error", sign=compressed_buffered, explains=_HELD | _LATE | _NOTHING),
    Rule(code="buffered-full", severity="error", sign=buffered_full, explains=_LATE | _NOTHING),
    Rule(code="one-behind", severity="error", sign=one_event_behind, explains=_LATE),
    Rule(code="buffered-block", severity="error", sign=buffered_block, explains=_LATE),
    Rule(code="buffered-time", severity="error", sign=buffered_time, explains=_LATE),
    Rule(code="delayed-headers", severity="error", sign=delayed_headers, explains=frozenset({"slow-first-event"})),
    Rule(code="idle-timeout", severity="error", sign=idle_timeout, explains=frozenset({"truncated", "no-heartbeat"})),
    Rule(code="duration-limit", severity="error", sign=duration_limit, explains=frozenset({"truncated"})),
    Rule(code="truncated", severity="error", sign=truncated),
    Rule(code="stalled", severity="error", sign=stalled, explains=frozenset({"no-heartbeat"})),
    Rule(code="slow-first-event", severity="error", sign=slow_first_event),
    Rule(code="resume-broken", severity="error", sign=resume_broken),
    Rule(code="lost-events", severity="error", sign=lost_events),
    Rule(code="redirected", severity="warning", sign=redirected),
    Rule(code="no-heartbeat", severity="warning", sign=no_heartbeat),
)
