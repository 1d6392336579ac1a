"""A recording as NDJSON, written and read.

A header with the format version and the scenario, a line for each stream, each fallback and each service, and an end that proves it
whole. While a run lasts its file has other lines in place of the streams (unfinished.py).

Format history:
    1   first version
"""

from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from sse_check.columns import columns_in, stored
from sse_check.escape import json_text
from sse_check.quantities import Count
from sse_check.recording.model import (
    Environment,
    Events,
    FallbackRecording,
    Reads,
    Recording,
    RecordingError,
    ServiceRecording,
    Shard,
    StreamRecording,
)
from sse_check.recording.unfinished import Beat, Opened, RowsLine, Unfinished
from sse_check.scenario import Scenario

FORMAT_VERSION: Final = 1


class _Header(Struct, frozen=True, kw_only=True, tag_field="record", tag="run"):
    format: Literal["sse-check recording"] = "sse-check recording"
    format_version: int = FORMAT_VERSION
    started_at: str
    shard: Shard | None = None
    scenario: Scenario


class _End(Struct, frozen=True, kw_only=True, tag_field="record", tag="end"):
    environment: Environment
    streams: Count
    interrupted: str | None = None
    decided: str | None = None
    apart: tuple[str, ...] = ()


class _StreamLine(StreamRecording, frozen=True, kw_only=True, tag="stream"):
    """A stream whose columns are still text. As lists they take ten times the room, so they are read one after the other."""

    reads: Raw = Raw(b"{}")  # type: ignore[assignment]  # not yet what it will be
    events: Raw = Raw(b"{}")  # type: ignore[assignment]  # the same

    def read(self) -> StreamRecording:
        """The stream. Raises msgspec.ValidationError where a column is no column."""
        plain = {name: getattr(self, name) for name in StreamRecording.__struct_fields__}
        reads, events = columns_in(self.reads, Reads, "reads"), columns_in(self.events, Events, "events")
        return StreamRecording(**{**plain, "reads": reads, "events": events})


def to_lines(recording: Recording) -> Iterator[bytes]:
    """The recording as NDJSON: a header, one line a stream, a fallback and a service, and an end that proves it whole."""
    lines = msgspec.json.Encoder(enc_hook=stored).encode_lines  # a line at a time: one of a long stream is large
    yield json_text(lines((_Header(started_at=recording.started_at, shard=recording.shard, scenario=recording.scenario),)))
    for record in (*recording.streams, *recording.fallbacks, *recording.services):
        yield json_text(lines((record,)))
    end = _End(
        environment=recording.environment,
        streams=len(recording.streams),
        interrupted=recording.interrupted,
        decided=recording.decided,
        apart=recording.apart,
    )
    yield json_text(lines((end,)))


def from_lines(lines: Iterable[bytes], *, file: str) -> Recording:
    """Read a recording. One that was cut off is read as far as it goes and marked as interrupted.

    Raises RecordingError with file and line where it is something else.
    """
    decoder = msgspec.json.Decoder(_Header | _StreamLine | FallbackRecording | ServiceRecording | _End | Opened | RowsLine | Beat)
    header, end = None, None
    streams: list[StreamRecording] = []
    fallbacks: list[FallbackRecording] = []
    services: list[ServiceRecording] = []
    unfinished = Unfinished()
    broken: RecordingError | None = None
    number = 0
    for line in lines:
        number += 1
        if not line or line.isspace():
            continue
        if broken:
            raise broken
        try:
            if header is None:
                _check_version(line, file)
            record = decoder.decode(line)
            if isinstance(record, _StreamLine):
                record = record.read()
            elif isinstance(record, Opened | RowsLine | Beat):
                unfinished.take(record)
                continue
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # The last line may be half written; any other is a fault of the file.
            broken = RecordingError(f"{file}:{number}: not a line of a recording: {error}.")
            if header is None:
                raise broken from None
            continue
        del line  # one of a long stream is large, and the next is read before it would go
        if isinstance(record, _Header):
            header = record
        elif isinstance(record, StreamRecording):
            streams.append(record)
        elif isinstance(record, FallbackRecording):
            fallbacks.append(record)
        elif isinstance(record, ServiceRecording):
            services.append(record)
        elif isinstance(record, _End):
            end = record
    if header is None:
        raise RecordingError(f"{file}:1: not a recording of sse-check. Give a recording.ndjson from a report directory.")
    streams += unfinished.streams(file)
    whole = end is not None and end.streams == len(streams) and broken is None
    return Recording(
        started_at=header.started_at,
        shard=header.shard,
        scenario=header.scenario,
        environment=end.environment if end else unfinished.machine or Environment(version="", python="", platform=""),
        streams=tuple(streams),
        fallbacks=tuple(fallbacks),
        services=tuple(services),
        interrupted=end.interrupted if end and whole else "the recording is not complete",
        decided=end.decided if end else None,
        apart=end.apart if end else (),
    )


def _check_version(line: bytes, file: str) -> None:
    try:
        head = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        head = None
    if not isinstance(head, dict) or head.get("format") != "sse-check recording":
        raise RecordingError(f"{file}:1: not a recording of sse-check. Give a recording.ndjson from a report directory.")
    version = head.get("format_version")
    if version != FORMAT_VERSION:
        raise RecordingError(
            f"{file}:1: format version {version}; this sse-check reads version {FORMAT_VERSION}. Use the version that wrote it."
        )
