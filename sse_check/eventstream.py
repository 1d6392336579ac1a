"""The WHATWG event-stream parser: bytes in, events out; no I/O and no clock.

The rules are those of the HTML Standard, section 9.2.6 "Interpreting an event stream"
(https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).
The parser is incremental: any split of the same bytes gives the same events, at the read that completed each.

How it works, and why:

* Line ends are brought to LF first. A CR that ends a read is a line end at once (an event must not wait for the next
  read); the LF that may follow it is dropped when it comes.
* UTF-8 is decoded a block or a line at a time. CR and LF never occur inside a multi-byte sequence, so this gives what
  decoding the whole stream would give, replacement characters included.
* Whole blocks (up to a blank line) take the fast path; only the unfinished tail of a read is kept, and grows in place, so that
  a long line in many small reads costs linear time.
* Sizes are bounded. A line or an event over its limit is discarded as it arrives and counted in `oversized`: a server
  that never ends its line cannot fill the memory of the one who measures it.
"""

import re
from itertools import repeat
from typing import Final, NamedTuple

MAX_LINE_BYTES: Final = 4 * 1024 * 1024
MAX_EVENT_BYTES: Final = 8 * 1024 * 1024
# The specification sets no bound; one beyond this is no time any more, and int() refuses literals of 4,300 digits.
MAX_RETRY_MS: Final = 10**15

_BOM: Final = b"\xef\xbb\xbf"
_USUAL_BLOCK: Final = re.compile(r"^(?:id: (.*)\n)?(?:event: (.*)\n)?data: (.*)$(?:\n\n|\Z)", re.MULTILINE)


class Event(NamedTuple):
    """One dispatched event, as EventSource would hand it to a listener."""

    type: str
    data: str
    last_event_id: str


class Columns(NamedTuple):
    """Dispatched events, column by column: what `Event` has of each."""

    types: list[str]
    datas: list[str]
    ids: list[str]


class EventStreamParser:
    """Turns the bytes of an event stream into events.

    Attributes:
        last_event_id: the last event ID string, as a reconnect would send it.
        retry: the reconnection time the server asked for, in milliseconds, or None.
        comments: texts of comment lines (without the colon), for the caller to drain; never events.
        unknown_lines: lines whose field name the specification does not know (and so ignores).
        oversized: lines and events that were discarded because they exceeded a limit.
    """

    def __init__(self, *, max_line: int = MAX_LINE_BYTES, max_event: int = MAX_EVENT_BYTES) -> None:
        """`max_line` and `max_event` are in bytes, of one line and of all the lines of one event."""
        self.last_event_id = ""
        self.retry: int | None = None
        self.comments: list[str] = []
        self.unknown_lines = 0
        self.oversized = 0
        self._max_line = max_line
        self._max_event = max_event
        self._fast_size = min(max_line, max_event)
        self._start: bytes | None = b""  # bytes held until it is known whether a BOM starts the stream
        self._skip_lf = False  # the last read ended in CR; a leading LF belongs to it
        self._unfinished = bytearray()  # the beginning of a line whose end has not come
        self._discarding = False  # the unfinished line is over its limit
        # The unfinished block: what the specification calls the buffers.
        self._data: list[str] = []
        self._type = ""
        self._id = ""
        self._block_size = 0
        self._block_spoilt = False
        self._in_block = False
        self._ended = False  # nothing has followed the last event yet

    @property
    def ended_event(self) -> bool:
        """Whether the last byte of what was fed so far ended an event: what follows it, a comment or a blank line, is not there."""
        return self._ended and not self.mid_event

    @property
    def mid_event(self) -> bool:
        """Whether what was fed so far ends inside of an event: a buffer that counts bytes cuts there, a server does not."""
        return bool(self._unfinished) or self._in_block or self._discarding

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes of the stream; return the events that they complete, in order.

        Never raises for anything a server can send. At the end of the stream nothing is to be called: an unfinished
        event is discarded, as the specification says.
        """
        return list(map(Event._make, zip(*self.feed_columns(data), strict=True)))

    def feed_columns(self, data: bytes) -> Columns:
        """The same, without an object for each event: what thousands of them a second are read by."""
        events = Columns([], [], [])
        if self._start is not None:
            data = self._start + data
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._start = data
                return events
            self._start = None
            data = data.removeprefix(_BOM)
        if self._skip_lf and data:
            self._skip_lf = False
            if data[0] == 0x0A:
                data = data[1:]
        if b"\r" in data:
            self._skip_lf = data[-1] == 0x0D
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

        if self._unfinished or self._discarding or self._in_block:
            data = self._finish_block(data, events)
        # From here on `data` starts at a block's first line.
        end = data.rfind(b"\n\n")
        if 0 <= end <= self._fast_size:
            self._whole_blocks(data[:end].decode("utf-8", "replace"), events)
            data = data[end + 2 :]
            if not data:
                return events
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._line(line, events)
        self._keep(rest)
        return events

    def _finish_block(self, data: bytes, events: Columns) -> bytes:
        """Bring the line and the block that earlier reads began to their end; return what follows them."""
        at = 0
        while self._unfinished or self._discarding or self._in_block:
            end = data.find(b"\n", at)
            if end < 0:
                self._keep(data[at:])
                return b""
            if self._discarding:
                self._discarding = False
                self._spoil()
            else:
                self._keep(data[at:end])
                if self._discarding:
                    self._discarding = False
                    self._spoil()
                else:
                    line = bytes(self._unfinished)
                    self._unfinished.clear()
                    self._line(line, events)
            at = end + 1
        return data[at:]

    def _keep(self, part: bytes) -> None:
        """Add bytes to the unfinished line, or discard it when it grows beyond the limit."""
        if not part or self._discarding:
            return
        if len(self._unfinished) + len(part) > self._max_line:
            self._unfinished.clear()
            self._discarding = True
            self.oversized += 1
        else:
            self._unfinished += part

    def _spoil(self) -> None:
        """The block has lost a line, so it must not be dispatched as if it were whole."""
        self._in_block = self._block_spoilt = True
        self._data.clear()

    def _whole_blocks(self, text: str, events: Columns) -> None:
        """Take blocks whose every line is complete, and that are together within the limits: the common case, kept short."""
        self._ended = True
        if text.startswith("data: "):
            datas = text[6:].split("\n\ndata: ")
            if "\n" not in (datas[0] if len(datas) == 1 else "".join(datas)):
                # Nothing but blocks of one line, each of them data.
                self.last_event_id = self._id
                events.types.extend(repeat("message", len(datas)))
                events.datas.extend(datas)
                events.ids.extend(repeat(self._id, len(datas)))
                return
        if "\n\n" in text and self._usual_blocks(text, events):
            return
        for block in text.split("\n\n"):
            for line in block.split("\n"):
                if line:
                    self._field(line)
                elif self._in_block:
                    self._dispatch(events)
            if self._in_block:
                self._dispatch(events)
            else:
                self._ended = False

    def _usual_blocks(self, text: str, events: Columns) -> bool:
        """Take several blocks at once if each is an event with data in one line, and nothing else but its ID and its type before it."""
        found = _USUAL_BLOCK.findall(text)
        if not found or "\0" in text:
            return False
        ids, types, datas = zip(*found, strict=True)
        with_id, with_type = len(ids) - ids.count(""), len(types) - types.count("")
        # Nothing but what was found: else there are other lines, or an ID or a type that is set to nothing.
        within = sum(map(len, ("".join(ids), "".join(types), "".join(datas))))
        around = 5 * with_id + 8 * with_type + 6 * len(datas) + 2 * (len(datas) - 1)
        # An ID holds for the events after it.
        if within + around != len(text) or with_id not in (0, len(ids)):
            return False
        if with_id:
            self._id = ids[-1]
        self.last_event_id = self._id
        untyped = len(types) - with_type
        events.types.extend((kind or "message" for kind in types) if untyped else types)
        events.datas.extend(datas)
        events.ids.extend(ids if with_id else repeat(self._id, len(datas)))
        return True

    def _line(self, raw: bytes, events: Columns) -> None:
        """Process one complete line: an empty one ends the block, any other is a field, unless it is over a limit."""
        if not raw:
            if self._in_block:
                self._dispatch(events)
            else:
                self._ended = False
            return
        size = len(raw)
        if size > self._max_line:
            self.oversized += 1
            self._spoil()
            return
        if raw.startswith(b"data:") or raw == b"data":
            self._in_block = True
            self._block_size += size
            if self._block_size > self._max_event and not self._block_spoilt:
                self.oversized += 1
                self._spoil()
        self._field(raw.decode("utf-8", "replace"))

    def _field(self, line: str) -> None:
        """Process one line that is not empty, as the specification's "process the field" says."""
        self._ended = False
        if line.startswith("data: "):
            name, value = "data", line[6:]
        elif line.startswith("id: "):
            name, value = "id", line[4:]
        elif line.startswith("event: "):
            name, value = "event", line[7:]
        elif line[0] == ":":
            self.comments.append(line[1:])
            return
        else:
            name, _, value = line.partition(":")
            if value.startswith(" "):
                value = value[1:]
        if name == "data":
            self._in_block = True
            if not self._block_spoilt:
                self._data.append(value)
        elif name == "id":
            self._in_block = True
            if "\0" not in value:
                self._id = value
        elif name == "event":
            self._in_block = True
            self._type = value
        elif name == "retry":
            if value.isascii() and value.isdigit():
                self.retry = min(int(value.lstrip("0")[:16] or "0"), MAX_RETRY_MS)
        else:
            self.unknown_lines += 1

    def _dispatch(self, events: Columns) -> None:
        """End the block: dispatch its event if it has data, and empty the buffers."""
        self.last_event_id = self._id
        self._ended = bool(self._data)
        if self._data:
            data = self._data[0] if len(self._data) == 1 else "\n".join(self._data)
            events.types.append(self._type or "message")
            events.datas.append(data)
            events.ids.append(self._id)
            self._data.clear()
        self._type = ""
        self._block_size = 0
        self._block_spoilt = self._in_block = False
