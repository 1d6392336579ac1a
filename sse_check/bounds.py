"""What a server may make a run keep, and for how long it may keep the loop: beyond these bounds sse-check ends a stream and says so.

A stream has bounds of its own, so that one that floods takes no place from the others; all of them together have one, so that a
run needs no more memory than is stated (docs/own-limits.md), however many there are and whatever they send.
"""

from collections.abc import Iterable
from typing import Final

_MAX_EVENTS: Final = 2_000_000
_MAX_READS: Final = 4_000_000
_MAX_COMMENTS: Final = 2_000_000
_MAX_BODY_BYTES: Final = 1024 * 1024 * 1024  # decoded
_MAX_STREAM_BYTES: Final = 128 * 1024 * 1024  # in memory
# In memory, of all streams: at least, and at most; between them a quarter of what was free when the run began, as judging
# and writing a recording take about twice as much beside it.
_MIN_RUN_BYTES: Final = 64 * 1024 * 1024
_MAX_RUN_BYTES: Final = 512 * 1024 * 1024
_SHARE_OF_FREE: Final = 4

# What is kept of each: the columns of live.py, and the copies of times that a recording makes of them.
_READ_BYTES: Final = 34
_EVENT_BYTES: Final = 24
_COMMENT_BYTES: Final = 16
_FIELD_BYTES: Final = 150  # of a header field, beside its text: two strings and a tuple


def run_bytes(free: int | None) -> int:
    """How many bytes all streams of a run may keep, where so many are free; None: not known."""
    return _MAX_RUN_BYTES if free is None else max(_MIN_RUN_BYTES, min(_MAX_RUN_BYTES, free // _SHARE_OF_FREE))


class Account:
    """What the streams of one run keep in memory, in bytes, by their own estimates; `most` is how much they may."""

    __slots__ = ("held", "most")

    def __init__(self, most: int = _MAX_RUN_BYTES) -> None:
        self.held = 0
        self.most = most

    @property
    def full(self) -> bool:
        """Whether they keep more than they may."""
        return self.held > self.most


def fields_bytes(fields: Iterable[tuple[str, str]]) -> int:
    """About how many bytes header fields take."""
    return sum(len(name) + len(value) + _FIELD_BYTES for name, value in fields)


class Share:
    """One stream's part of its run's account. What is counted: reads, events and comments; `other` is in bytes."""

    __slots__ = ("_account", "held")

    def __init__(self, account: Account) -> None:
        self._account = account
        self.held = 0

    def count(self, *, reads: int, events: int, comments: int, other: int) -> None:
        """Bring it up to date."""
        held = reads * _READ_BYTES + events * _EVENT_BYTES + comments * _COMMENT_BYTES + other
        self._account.held += held - self.held
        self.held = held

    def beyond(self, *, reads: int = 0, events: int = 0, comments: int = 0, body: int = 0) -> str | None:
        """The bound that the stream has reached, in words; `body` is in bytes. None: it may go on."""
        for number, most, what in (
            (events, _MAX_EVENTS, "events"),
            (reads, _MAX_READS, "reads"),
            (comments, _MAX_COMMENTS, "comments"),
            (body, _MAX_BODY_BYTES, "bytes of body"),
            (self.held, _MAX_STREAM_BYTES, "bytes to keep of one stream"),
        ):
            if number >= most:
                return f"more than {most:,} {what}"
        return f"more than {self._account.most:,} bytes to keep of all streams together" if self._account.full else None
