"""The HTML Standard's own algorithm for an event stream, sentence by sentence and slowly: what the parser is held against."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from sse_check.eventstream import MAX_RETRY_MS, Event, EventStreamParser

BOM = b"\xef\xbb\xbf"


class Seen(NamedTuple):
    """All that a parser says of one stream."""

    events: list[Event]
    last_event_id: str = ""
    retry: int | None = None
    comments: tuple[str, ...] = ()


def parsed(chunks: Iterable[bytes]) -> Seen:
    parser = EventStreamParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return Seen(events, parser.last_event_id, parser.retry, tuple(parser.comments))


def pieces(stream: bytes, size: int) -> Iterator[bytes]:
    return (stream[at : at + size] for at in range(0, len(stream), size))


def cut(stream: bytes, offsets: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(offset % (len(stream) + 1) for offset in offsets), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def utf8_decode(stream: bytes) -> str:
    """Encoding Standard, 6 "UTF-8 decode" and 8.1.1 "UTF-8 decoder": a state machine, one byte at a time."""
    todo = deque(stream[3:] if stream[:3] == BOM else stream)
    text: list[str] = []
    code_point, seen, needed, lower, upper = 0, 0, 0, 0x80, 0xBF
    while todo:
        byte = todo.popleft()
        if needed == 0:
            if byte <= 0x7F:
                text.append(chr(byte))
            elif 0xC2 <= byte <= 0xDF:
                needed, code_point = 1, byte & 0x1F
            elif 0xE0 <= byte <= 0xEF:
                lower, upper = (0xA0 if byte == 0xE0 else 0x80), (0x9F if byte == 0xED else 0xBF)
                needed, code_point = 2, byte & 0xF
            elif 0xF0 <= byte <= 0xF4:
                lower, upper = (0x90 if byte == 0xF0 else 0x80), (0x8F if byte == 0xF4 else 0xBF)
                needed, code_point = 3, byte & 0x7
            else:
                text.append("\ufffd")
        elif not lower <= byte <= upper:
            code_point, seen, needed, lower, upper = 0, 0, 0, 0x80, 0xBF
            todo.appendleft(byte)
            text.append("\ufffd")
        else:
            lower, upper = 0x80, 0xBF
            code_point = (code_point << 6) | (byte & 0x3F)
            seen += 1
            if seen == needed:
                text.append(chr(code_point))
                code_point, seen, needed = 0, 0, 0
    return "".join(text) + ("\ufffd" if needed else "")


def complete_lines(text: str) -> list[str]:
    """9.2.5: a line ends at CR LF, at a lone LF, or at a lone CR; what follows the last end is no line."""
    lines, line, at = [], "", 0
    while at < len(text):
        if text[at] in "\r\n":
            lines.append(line)
            line = ""
            at += 2 if text[at : at + 2] == "\r\n" else 1
        else:
            line += text[at]
            at += 1
    return lines


def reference(stream: bytes) -> Seen:
    """9.2.6: "Interpreting an event stream", sentence by sentence."""
    events: list[Event] = []
    comments: list[str] = []
    last_event_id, retry = "", None
    data_buffer, event_type_buffer, last_event_id_buffer = "", "", ""
    for line in complete_lines(utf8_decode(stream)):
        if line == "":
            last_event_id = last_event_id_buffer
            if data_buffer == "":
                event_type_buffer = ""
                continue
            if data_buffer[-1] == "\n":
                data_buffer = data_buffer[:-1]
            events.append(Event("message" if event_type_buffer == "" else event_type_buffer, data_buffer, last_event_id))
            data_buffer = event_type_buffer = ""
            continue
        if line[0] == ":":
            comments.append(line[1:])
            continue
        field, value = line, ""
        if ":" in line:
            colon = line.index(":")
            field, value = line[:colon], line[colon + 1 :]
            if value != "" and value[0] == " ":
                value = value[1:]
        if field == "event":
            event_type_buffer = value
        elif field == "data":
            data_buffer += value + "\n"
        elif field == "id":
            if "\0" not in value:
                last_event_id_buffer = value
        elif field == "retry" and value != "" and all(char in "0123456789" for char in value):
            # The standard sets no bound; 5,000 digits are more than int() takes.
            retry = MAX_RETRY_MS if len(value.lstrip("0")) > 16 else min(int(value), MAX_RETRY_MS)
    return Seen(events, last_event_id, retry, tuple(comments))
