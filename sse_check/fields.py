"""The numbers and times that an event's data carries: raw material for finding sequence numbers and send stamps.

A recording keeps these instead of the data itself: they are what judging needs, they are small, and text that may be
private stays out of the file.
"""

import math
import re
from array import array
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

WHOLE_DATA: Final = ""  # the name of the number when the data is nothing but one

_MAX_DATA: Final = 64 * 1024  # characters; larger data is payload, and decoding it would delay the next read
_MAX_FIELDS: Final = 24
_MAX_DEPTH: Final = 3
_MAX_NAME: Final = 64
_MAX_TEXT: Final = 40  # characters of a text that is a number or a time
_INT64: Final = 2**63
_LINES: Final = msgspec.json.Decoder(dict[str, Any])

_ISO_8601: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_NUMBER: Final = re.compile(r"-?\d{1,19}(\.\d{1,12})?", re.ASCII)


def numbers_in(data: str) -> dict[str, int | float]:
    """Numbers and times in an event's data, by dotted path; at most 24, to a depth of 3.

    JSON numbers and numeric strings keep their value; ISO 8601 times become seconds since the epoch (no zone: UTC).
    Data that is one bare number is named by the empty path.

        >>> numbers_in('{"seq": 3, "meta": {"at": "1970-01-01T00:00:10Z"}, "text": "hi"}')
        {'seq': 3, 'meta.at': 10.0}
    """
    if len(data) > _MAX_DATA:
        return {}
    if not data.startswith("{"):
        number = _as_number(data)
        return {} if number is None else {WHOLE_DATA: number}
    value = json_in(data)
    found: dict[str, int | float] = {}
    if isinstance(value, dict):
        _collect(value, "", 1, found)
    return found


def numbers_of(datas: Sequence[str]) -> dict[str, Sequence[int | float | None]]:
    """The same of several events, as columns: for each name what each event has there, None where it has nothing.

    Events that follow each other are mostly of one shape, and are looked at together: field by field, not one by one.

        >>> numbers_of(['{"seq": 1}', '{"seq": 2}', "text"])
        {'seq': [1, 2, None]}
    """
    found: dict[str, Sequence[int | float | None]] = {}
    objects = _objects(datas) if len(datas) > 1 else None
    if objects is not None:
        try:
            _collect_columns(objects, "", 1, found)
        except (_DifferentShapes, KeyError):
            found.clear()
        else:
            return found
    rows = [numbers_in(data) for data in datas]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


class _DifferentShapes(Exception):
    """The events are not of one shape."""


def _objects(datas: Sequence[str]) -> list[dict[str, Any]] | None:
    """The JSON objects that several events' data are; None where any of them is something else."""
    if max(map(len, datas)) > _MAX_DATA or {data[:1] for data in datas} != {"{"}:
        return None
    try:
        values = _LINES.decode_lines("\n".join(datas))
    except (msgspec.DecodeError, RecursionError):
        return None
    return values if len(values) == len(datas) else None


def _collect_columns(objects: Sequence[dict[str, Any]], prefix: str, depth: int, found: dict[str, Sequence[int | float | None]]) -> None:
    """What `_collect` does, for objects that all have the same fields. Raises _DifferentShapes where they have not."""
    names = objects[0].keys()
    if sum(map(len, objects)) != len(names) * len(objects):
        raise _DifferentShapes
    for key in names:
        if len(found) >= _MAX_FIELDS:
            if any(None in numbers for numbers in found.values()):
                raise _DifferentShapes  # an event that lacks one of these has others in its place
            return
        name = f"{prefix}{key}"
        if len(name) > _MAX_NAME:
            continue
        column = [one[key] for one in objects]
        kinds = set(map(type, column))
        if dict in kinds:
            if kinds != {dict}:
                raise _DifferentShapes
            if depth < _MAX_DEPTH:
                _collect_columns(column, f"{name}.", depth + 1, found)
        elif kinds == {int} and (whole := _whole(column)) is not None:
            found[name] = whole
        elif kinds != {str} or min(map(len, column)) <= _MAX_TEXT:
            numbers = [_as_number(item) for item in column]
            if any(number is not None for number in numbers):
                found[name] = numbers


def _whole(column: list[int]) -> "array[int] | None":
    """Whole numbers of 64 bits; None where one is beyond."""
    try:
        return array("q", column)
    except OverflowError:
        return None


def json_in(data: str, most: int = _MAX_DATA) -> Any:
    """The JSON value that an event's data is; None where it is none, or too large (`most` characters) to be looked at between two reads."""
    if len(data) > most:
        return None
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None


def values_at(value: Any, paths: Iterable[str]) -> dict[str, Any]:
    """What a JSON object holds at dotted paths; a path that leads nowhere is left out.

    >>> values_at({"type": "done", "usage": {"total": 3}}, ["usage.total", "id"])
    {'usage.total': 3}
    """
    found = {}
    for path in paths:
        at = value
        for name in path.split("."):
            if not isinstance(at, dict) or name not in at:
                break
            at = at[name]
        else:
            found[path] = at
    return found


def _collect(value: dict[str, Any], prefix: str, depth: int, found: dict[str, int | float]) -> None:
    for key, item in value.items():
        kind = type(item)
        # Most fields are text, which is passed over first.
        if (kind is str and len(item) > _MAX_TEXT) or kind is bool or item is None or kind is list:
            continue
        if len(found) >= _MAX_FIELDS:
            return
        name = prefix + key if prefix else key
        if len(name) > _MAX_NAME:
            continue
        if kind is dict:
            if depth < _MAX_DEPTH:
                _collect(item, f"{name}.", depth + 1, found)
        elif (number := _as_number(item)) is not None:
            found[name] = number


def _as_number(item: Any) -> int | float | None:
    kind = type(item)
    if kind is int:
        return item if -_INT64 <= item < _INT64 else None
    if kind is float:
        return item if math.isfinite(item) else None
    if kind is str and len(item) <= _MAX_TEXT:
        if _NUMBER.fullmatch(item):
            return float(item) if "." in item else _as_number(int(item))
        if _ISO_8601.fullmatch(item):
            return _epoch_seconds(item)
    return None


def _epoch_seconds(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
