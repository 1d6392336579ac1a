"""The numbers and times that an event's data carries: raw material for finding sequence numbers and send stamps.

A recording keeps these instead of the data itself: they are what judging needs, they are small, and text that may be
private stays out of the file.
"""

import math
import re
from array import array
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

WHOLE_DATA: Final = ""  # the name of the number when the data is nothing but one

_MAX_DATA: Final = 64 * 1024  # characters; larger data is payload, and decoding it would delay the next read
_MAX_FIELDS: Final = 24
_MAX_DEPTH: Final = 3
_MAX_NAME: Final = 64
_MAX_TEXT: Final = 40  # characters of a text that is a number or a time
_INT64: Final = 2**63
_FEW: Final = 4  # events for which it pays to look at them together
_NUMBERS: Final = int | float
_TEXTS: Final = str | bool | None
_KINDS: Final[dict[type, Any]] = {int: _NUMBERS, float: _NUMBERS, str: _TEXTS, bool: _TEXTS, type(None): _TEXTS, list: list[Raw]}

_BEGINNINGS: Final = frozenset("-0123456789")
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
    if len(datas) >= _FEW:
        columns = _columns_of(datas)
        if columns is not None:
            return columns
    rows = [numbers_in(data) for data in datas]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


class _DifferentShapes(Exception):
    """The events are not of one shape."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """What JSON objects with these fields are decoded into; `fields` has the shape of each that is an object itself, else None."""

    struct: type[Struct]
    fields: "dict[str, _Shape | None]"


# The shapes that were seen: how they are decoded is worked out once. A server that sends ever new ones gets no more room than this.
_SHAPES: dict[Hashable, tuple[_Shape, msgspec.json.Decoder[Struct]]] = {}
_MOST_SHAPES: Final = 256


def _columns_of(datas: Sequence[str]) -> dict[str, Sequence[int | float | None]] | None:
    """The columns of several events whose data are JSON objects of one shape: that of the first. None where they are something else."""
    if datas[0][:1] != "{" or max(map(len, datas)) > _MAX_DATA:
        return None
    found: dict[str, Sequence[int | float | None]] = {}
    try:
        first = msgspec.json.decode(datas[0])
        fields = _fields(first, 1)
        if fields not in _SHAPES:
            if len(_SHAPES) >= _MOST_SHAPES:
                return None
            shape = _shape(first)
            _SHAPES[fields] = (shape, msgspec.json.Decoder(shape.struct))
        shape, decoder = _SHAPES[fields]
        objects = decoder.decode_lines("\n".join(datas))
        if len(objects) != len(datas):
            return None
        _collect_columns(objects, shape, "", found)
    except (msgspec.DecodeError, RecursionError, ValueError, _DifferentShapes):
        return None
    return found


def _fields(value: dict[str, Any], depth: int) -> Hashable:
    """What tells one shape from another: the names of the fields, and the kind of each. Raises _DifferentShapes beyond what is looked at."""
    if len(value) > _MAX_FIELDS or depth > _MAX_DEPTH:
        raise _DifferentShapes
    return tuple((name, _fields(item, depth + 1) if isinstance(item, dict) else _KINDS[type(item)]) for name, item in value.items())


def _shape(value: dict[str, Any]) -> _Shape:
    """The shape of a JSON object. Raises ValueError for a name that msgspec cannot have."""
    fields = {name: _shape(item) if isinstance(item, dict) else None for name, item in value.items()}
    kinds = [inner.struct if inner else _KINDS[type(value[name])] for name, inner in fields.items()]
    # The fields are numbered, as their names need not be those of attributes. An object with other fields is of another shape.
    struct = msgspec.defstruct(
        "Shape",
        [(f"f{number}", kind) for number, kind in enumerate(kinds)],
        rename={f"f{number}": name for number, name in enumerate(fields)},
        forbid_unknown_fields=True,
        gc=False,
    )
    return _Shape(struct, fields)


def _collect_columns(objects: Sequence[Struct], shape: _Shape, prefix: str, found: dict[str, Sequence[int | float | None]]) -> None:
    """What `_collect` does, for objects of one shape, field by field. Raises _DifferentShapes where their numbers are too many to tell so."""
    for number, (key, inner) in enumerate(shape.fields.items()):
        if len(found) >= _MAX_FIELDS:
            if any(None in numbers for numbers in found.values()):
                raise _DifferentShapes  # an event that lacks one of these has others in its place
            return
        name = f"{prefix}{key}"
        if len(name) > _MAX_NAME:
            continue
        column = list(map(attrgetter(f"f{number}"), objects))
        if inner is not None:
            _collect_columns(column, inner, f"{name}.", found)
            continue
        kind = type(column[0])
        if kind is list:
            continue
        if kind is int and (whole := _whole(column)) is not None:
            found[name] = whole
        elif kind is not str or not _all_long(column):
            numbers = [_as_number(item) for item in column]
            if any(each is not None for each in numbers):
                found[name] = numbers


def _whole(column: Sequence[int | float]) -> "array[int] | None":
    """Whole numbers of 64 bits; None where one is beyond, or no whole number."""
    try:
        return array("q", column)  # type: ignore[arg-type]  # a float is refused with the TypeError
    except (OverflowError, TypeError):
        return None


def _all_long(column: Sequence[str | bool | None]) -> bool:
    """Whether each is a text too long to be a number or a time."""
    try:
        return min(map(len, column)) > _MAX_TEXT  # type: ignore[arg-type]  # what is no text is refused with the TypeError
    except TypeError:
        return False


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
    if kind is str and len(item) <= _MAX_TEXT and item[:1] in _BEGINNINGS:  # most texts are neither a number nor a time
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
