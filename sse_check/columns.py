"""Compact columns: what a run keeps of each read and each event, in a few bytes instead of an object.

They are sequences like any other, and equal to any other of the same content. Whole numbers are plain arrays (`ints`), truth
values arrays of bytes (`flags`); a column without content is the empty tuple there, of which there is one only.
"""

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, MutableSequence, Sequence
from itertools import accumulate, chain, islice, pairwise, repeat
from operator import eq, truediv
from typing import Any, Final, TypeVar, cast, overload

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import force_setattr

from sse_check.quantities import Count, Ns, Whole

# So many different texts have a table: all that fit into a byte, where each comes often; at first, before that shows, a few.
_MOST: Final = 256
_FEW: Final = 16
_OFTEN: Final = 8
_ENTRY_BYTES: Final = 150  # of a text in a table, beside its characters
_OBJECT_BYTES: Final = 32  # of a number that is kept as an object, beside its place
_PART: Final = 4096  # texts that are encoded or decoded at once: objects for so many are alive, and no more

_NONE: Final = -(2**63)  # stands for None among whole numbers
_EXACT: Final = 2**53  # up to here every whole number is a float too

Number = int | float | None


def ints(values: Sequence[int]) -> Sequence[int]:
    """Whole numbers as the narrowest array of 2, 4 or 8 bytes that holds them; beyond 64 bits a list. An array stays what it is."""
    if isinstance(values, array) and values.typecode != "B":  # that is one of truth values
        return values or ()
    for code in ("H", "I", "q"):
        try:
            return array(code, values) or ()
        except OverflowError:
            continue
    return list(values)


def flags(values: Sequence[int]) -> Sequence[int]:
    """Truth values as an array of bytes, 0 and 1. Such an array stays what it is."""
    return (values if isinstance(values, array) and values.typecode == "B" else array("B", map(bool, values))) or ()


def texts(values: Sequence[str]) -> Sequence[str]:
    """Texts as a compact column. Such a column stays what it is."""
    return (values if isinstance(values, Texts) else Texts(values)) or ()


def number_columns(columns: dict[str, Sequence[Number]]) -> dict[str, Sequence[Number]]:
    """Compact columns of numbers, by name. Such a column stays what it is."""
    return {name: column if isinstance(column, Numbers) else Numbers(column) for name, column in columns.items()}


def compact(columns: Struct, **kinds: Callable[[Any], Any]) -> None:
    """Make compact columns of whatever a struct was made with: all of one length, or empty. Raises msgspec.ValidationError."""
    lengths = set()
    for name, kind in kinds.items():
        column = kind(getattr(columns, name))
        force_setattr(columns, name, column)
        lengths |= set(map(len, column.values() if isinstance(column, dict) else (column,)))
    if len(lengths - {0}) > 1:
        raise msgspec.ValidationError(f"{type(columns).__name__} has columns of different lengths: {sorted(lengths - {0})}")


class Texts(Sequence[str]):
    """Texts, to which more can be appended. None is kept as an object.

    Few different ones (the types of events) take a byte each, beside a table; many (their IDs) their UTF-8, and four bytes for
    where it ends: 4 GiB in all.
    """

    __slots__ = ("_column", "_table_bytes")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._table_bytes = 0
        # The table and a number for each text; or all their bytes, and the end of each. None: there is no text.
        self._column: tuple[dict[str, int] | bytearray, array[int]] | None = None
        self.extend(texts)

    @property
    def room(self) -> int:
        """About how many bytes the texts take."""
        store, marks = self._parts()
        return len(marks) * marks.itemsize + (len(store) if isinstance(store, bytearray) else self._table_bytes)

    def append(self, text: str) -> None:
        """Add one text."""
        if self._column is None:
            self._column = ({}, array("B"))
        store, marks = self._column
        if isinstance(store, bytearray):
            store += _encoded(text)
            marks.append(len(store))
        elif text in store:
            marks.append(store[text])
        elif len(store) < min(_MOST, max(_FEW, len(marks) // _OFTEN)):
            marks.append(store.setdefault(text, len(store)))
            self._table_bytes += _ENTRY_BYTES + len(text)
        else:
            texts = list(self)
            self._column = (bytearray(), array("I"))
            self.extend(chain(texts, [text]))

    def extend(self, texts: Iterable[str]) -> None:
        """Add several texts: the same as one after the other, but faster."""
        rest = iter(texts)
        for text in rest:
            self.append(text)
            store, marks = self._parts()
            if isinstance(store, bytearray):
                while part := list(islice(rest, _PART)):
                    together = "".join(part)
                    # The ends in characters are those in bytes.
                    lengths = map(len, part) if together.isascii() else map(len, map(_encoded, part))
                    marks.extend(islice(accumulate(lengths, initial=len(store)), 1, None))
                    store += _encoded(together)
            else:
                try:
                    marks.extend(map(store.__getitem__, rest))
                except KeyError as unknown:  # those before it are in
                    self.append(unknown.args[0])

    def mapped(self, function: Callable[[str], str]) -> "Texts":
        """What a pure function makes of each text; where few are different, it is asked once for each of those."""
        if self._column is None or isinstance(self._column[0], bytearray):
            return Texts(map(function, self))
        made = {text: function(text) for text in self._column[0]}
        return Texts(map(made.__getitem__, self))

    def __len__(self) -> int:
        return 0 if self._column is None else len(self._column[1])

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        store, marks = self._parts()
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return [self[number] for number in range(start, stop, step)]
            return list(
                _split(store, marks, start, stop) if isinstance(store, bytearray) else map(list(store).__getitem__, marks[start:stop])
            )
        number = range(len(self))[index]  # counts a negative one from the end, and raises IndexError
        if isinstance(store, bytearray):
            return _decoded(store[marks[number - 1] if number else 0 : marks[number]])
        return next(islice(store, marks[number], None))

    def __iter__(self) -> Iterator[str]:
        store, marks = self._parts()
        return _split(store, marks, 0, len(marks)) if isinstance(store, bytearray) else map(list(store).__getitem__, marks)

    def _parts(self) -> "tuple[dict[str, int] | bytearray, array[int]]":
        return self._column or ({}, array("B"))

    def __eq__(self, other: object) -> bool:
        return _equal(self, other)

    def __repr__(self) -> str:
        return f"Texts({list(self)!r})"


class Numbers(Sequence[Number]):
    """Numbers, and None where there is none, to which more can be appended: eight bytes each.

    Whole ones stay exact: those of 64 bits, or of 53 beside fractions; a column with others is kept as objects. Beside
    fractions a whole number of 53 bits is an int, however it was written (2.0 is 2). NaN is None.
    """

    __slots__ = ("_gaps", "_kind", "_mixed", "_values")

    def __init__(self, numbers: Iterable[Number] = ()) -> None:
        # Of whole numbers with _NONE for None (int), of floats with NaN for None (float), or of whatever there is (object).
        self._kind: type[object] = int
        self._values: MutableSequence[Any] = array("q")
        self._gaps = False  # there is a None
        self._mixed = False  # there are whole numbers among the floats
        self.extend(numbers)

    @property
    def room(self) -> int:
        """About how many bytes the numbers take."""
        return len(self._values) * (8 + (_OBJECT_BYTES if self._kind is object else 0))

    def append(self, number: Number) -> None:
        """Add one number, or None."""
        if type(number) is int:
            if self._kind is int and _NONE < number < -_NONE:
                self._values.append(number)
                return
        elif type(number) is float and self._kind is float:
            self._values.append(number)
            return
        if number is None:
            self.pad(1)
            return
        if not self._fits(number):
            self._widen(number)
        self._mixed = self._mixed or (self._kind is float and isinstance(number, int))
        self._values.append(number)

    def extend(self, numbers: Iterable[Number]) -> None:
        """Add several numbers: the same as one after the other, but faster."""
        if isinstance(numbers, array) and numbers.typecode == "q" and self._kind is int and _NONE not in numbers:
            self._values.extend(numbers)
            return
        rest = iter(numbers)
        while part := list(islice(rest, _PART)):
            if set(map(type, part)) == {self._kind}:
                same = cast("list[int | float]", part)  # int or float: nothing has `object` itself as its type
                if self._fits(min(same)) and self._fits(max(same)):
                    self._values.extend(part)
                    continue
            for number in part:
                self.append(number)

    def pad(self, count: int) -> None:
        """Add None so many times."""
        none = _NONE if self._kind is int else math.nan if self._kind is float else None
        self._values.extend([none] * count)
        self._gaps = self._gaps or count > 0

    def _fits(self, number: int | float) -> bool:
        """Whether the column can hold a number as it is, and give it back."""
        if self._kind is int:
            return isinstance(number, int) and _NONE < number < -_NONE
        return self._kind is object or isinstance(number, float) or abs(number) <= _EXACT

    def _widen(self, number: int | float) -> None:
        """Go over to floats; to objects where a whole number, this one or one that is there, is not exact as a float."""
        whole = [value for value in (*self, number) if isinstance(value, int)]
        if self._kind is int and all(abs(value) <= _EXACT for value in whole):
            self._mixed = bool(whole)
            self._kind, self._values = float, array("d", (math.nan if value is None else value for value in self))
        else:
            self._kind, self._values = object, list(self)

    def __len__(self) -> int:
        return len(self._values)

    @overload
    def __getitem__(self, index: int) -> Number: ...
    @overload
    def __getitem__(self, index: slice) -> list[Number]: ...
    def __getitem__(self, index: int | slice) -> Number | list[Number]:
        if isinstance(index, slice):
            values = self._values[index]
            return list(values if self._kind is object or not (self._gaps or self._mixed) else map(self._given, values))
        return self._given(self._values[index])

    def __iter__(self) -> Iterator[Number]:
        if self._kind is object or not (self._gaps or self._mixed):
            return iter(self._values)
        return map(self._given, self._values)

    def _given(self, value: Number) -> Number:
        """What a value of the column stands for."""
        if self._kind is int:
            return None if value == _NONE else value
        if isinstance(value, float) and self._kind is float:
            # A larger one came as a float: as a whole number it would be refused, or not be exact, wherever it is read again.
            return None if math.isnan(value) else int(value) if self._mixed and value.is_integer() and abs(value) <= _EXACT else value
        return value

    def __eq__(self, other: object) -> bool:
        return _equal(self, other)

    def __repr__(self) -> str:
        return f"Numbers({list(self)!r})"


class Seconds(Sequence[float]):
    """A column of nanoseconds as seconds: a view that takes no room of its own."""

    __slots__ = ("_ns",)

    def __init__(self, ns: Sequence[int]) -> None:
        self._ns = ns

    def __len__(self) -> int:
        return len(self._ns)

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> list[float]: ...
    def __getitem__(self, index: int | slice) -> float | list[float]:
        return [ns / 1e9 for ns in self._ns[index]] if isinstance(index, slice) else self._ns[index] / 1e9

    def __iter__(self) -> Iterator[float]:
        return map(truediv, self._ns, repeat(1e9))

    def __eq__(self, other: object) -> bool:
        return _equal(self, other)

    def __repr__(self) -> str:
        return f"Seconds({list(self)!r})"


def _encoded(text: str) -> bytes:
    # Lone surrogates are no UTF-8; a text that holds one must come back all the same.
    return text.encode("utf-8", "surrogatepass")


def _decoded(text: bytes | bytearray) -> str:
    return text.decode("utf-8", "surrogatepass")


def _split(blob: bytearray, ends: "array[int]", start: int, stop: int) -> Iterator[str]:
    """Texts of a blob, those from `start` up to `stop`, decoded many at a time where their ends in characters are those in bytes."""
    for first in range(start, stop, _PART):
        begin, stops = ends[first - 1] if first else 0, ends[first : min(first + _PART, stop)]
        part = blob[begin : stops[-1]]
        cuts = pairwise([0, *(stop - begin for stop in stops)])
        if part.isascii():
            together = part.decode("ascii")
            yield from (together[start:end] for start, end in cuts)
        else:
            yield from (_decoded(part[start:end]) for start, end in cuts)


def _equal(column: Sequence[object], other: object) -> bool:
    """Whether two sequences hold the same; a text is none of texts."""
    if not isinstance(other, Sequence) or isinstance(other, str | bytes):
        return False
    return len(column) == len(other) and all(map(eq, column, other))


def stored(column: Any) -> list[Any]:
    """A column as JSON holds it. For msgspec's `enc_hook`."""
    return [value != 0 for value in column] if isinstance(column, array) and column.typecode == "B" else list(column)


_Columns = TypeVar("_Columns", bound=Struct)
_Column = TypeVar("_Column")


def columns_in(text: Raw, kind: type[_Columns], at: str) -> _Columns:
    """A struct of columns out of its JSON, one column after the other: as lists all of them take ten times the room.

    `at` is where the text stands. Raises msgspec.ValidationError with the place where a column is none.
    """
    found = {}
    for name, column in _at(f"$.{at}", _parts_in, text).items():
        if name in kind.__struct_fields__:
            found[name] = _at(f"$.{at}.{name}", _READ.get(name, _counts_in), column)
    return kind(**found)


def _at(place: str, read: Callable[[Raw], _Column], text: Raw) -> _Column:
    """What is read of a part of a text; a mistake in it is said to be where the part stands."""
    try:
        return read(text)
    except msgspec.ValidationError as error:
        said = str(error) if "`$" in str(error) else f"{error} - at `$`"
        raise msgspec.ValidationError(said.replace("`$", f"`{place}")) from None


def _parts_in(text: Raw) -> dict[str, Raw]:
    return msgspec.json.decode(text, type=dict[str, Raw])


def _counts_in(text: Raw) -> Sequence[int]:
    return ints(msgspec.json.decode(text, type=list[Count]))


def _times_in(text: Raw) -> Sequence[int]:
    return ints(msgspec.json.decode(text, type=list[Ns]))


def _flags_in(text: Raw) -> Sequence[int]:
    return flags(msgspec.json.decode(text, type=list[bool]))


def _texts_in(text: Raw) -> Sequence[str]:
    return texts(msgspec.json.decode(text, type=list[str]))


def _numbers_in(text: Raw) -> dict[str, Sequence[Number]]:
    return {name: _at("$[...]", _column_of_numbers, column) for name, column in _parts_in(text).items()}


def _column_of_numbers(text: Raw) -> Numbers:
    return Numbers(msgspec.json.decode(text, type=list[Whole | float | None]))


_READ: Final[dict[str, Callable[[Raw], Any]]] = {
    "at_ns": _times_in, "error_ns": _times_in, "mid_event": _flags_in, "exact": _flags_in, "type": _texts_in, "id": _texts_in,
    "numbers": _numbers_in,
}  # fmt: skip
