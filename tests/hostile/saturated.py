"""A report in which every text that is not one of our own few words is an attack: a field that is added is one at once."""

import collections.abc
import io
import types
from collections.abc import Iterator
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Raw, Struct

from sse_check import github
from sse_check.escape import json_lines, log_lines
from sse_check.monitoring import otlp_json
from sse_check.recording import Recording, to_lines
from sse_check.report import (
    Report,
    Result,
    StreamPicture,
    junit_xml,
    openmetrics,
    report_html,
    report_json,
    summary_markdown,
    terminal_text,
)
from sse_check.scenario import Mistake
from tests.hostile import readers

# What is ours in every run, by its struct and field: the source of a cure or of a default is a link.
_OURS: Final = {("Fix", "source"): "https://docs.example/x", ("HopResult", "source"): "https://docs.example/y"}


def filled(kind: Any, text: str, number: int = 0) -> Any:
    """A value of a type, with this text wherever it takes any; of several literals the one of this number."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return args[number % len(args)]
    if origin in (Union, types.UnionType):
        wanted = [one for one in args if one is not type(None)]
        return filled(str if str in wanted else wanted[0], text, number)
    if origin is tuple:
        inner = args[:1] * 3 if args[-1] is Ellipsis else args
        return tuple(filled(one, text, number + place) for place, one in enumerate(inner))
    if origin in (list, collections.abc.Sequence):
        return [filled(args[0], text, number + place) for place in range(3)]
    if origin is dict:
        return {filled(args[0], text): filled(args[1], text, number)}
    if getattr(kind, "__metadata__", None):
        return filled(kind.__origin__, text, number)
    if isinstance(kind, type) and issubclass(kind, Struct):
        hints = get_type_hints(kind, include_extras=False)
        return kind(**{name: _OURS.get((kind.__name__, name)) or filled(hints[name], text, number) for name in kind.__struct_fields__})
    plain: dict[Any, Any] = {
        str: text,
        int: 2,
        float: 1.5,
        bool: bool(number % 2),
        bytes: text.encode("utf-8", "replace"),
        Any: text,
        Raw: Raw(b"{}"),
    }
    return plain[kind]


def report(text: str, number: int) -> Report:
    """Two runs' worth of pictures, and a result."""
    shown = filled(tuple[StreamPicture, ...], text, number)
    return Report(result=filled(Result, text, number), pictures=shown, before=shown)


def complaints(text: str, number: int) -> dict[str, list[str]]:
    """Each exit, rendered from it, and what its reader complains of. `text` holds no halves of pairs where it is to be JSON."""
    of = report(text, number)
    result, out = of.result, io.StringIO()
    github.annotate_result(result, out)
    github.annotate_mistakes([_mistake(text)], out)
    github.show_logs(result, out)
    github.debug_result(result, out)
    github.begin_group(text, out)
    github.end_group(out)
    github.annotate("notice", text, out)
    read: dict[str, Iterator[str]] = {
        "log of the action": readers.log(out.getvalue(), action=True),
        "terminal_text": readers.log(terminal_text(result, report_dir=text), action=False),
        "mistakes": readers.log(log_lines([str(_mistake(text))]), action=False),
        "json": readers.log(json_lines(report_json(result)), action=False),
        "OTLP": readers.otlp(otlp_json(result, at_ns=1)),
        "report.json": readers.recording(report_json(result).replace(b"\n", b"")),  # not by its schema: no code of a fault is an attack
        "summary.md": readers.FILES["summary.md"](summary_markdown(of).encode()),
        "report.html": readers.FILES["report.html"](report_html(of)),
        "junit.xml": readers.FILES["junit.xml"](junit_xml(result)),
        "metrics.prom": readers.FILES["metrics.prom"](openmetrics(result)),
        "recording.ndjson": readers.FILES["recording.ndjson"](b"".join(to_lines(filled(Recording, text, number)))),
    }
    return {name: readers.first(said) for name, said in read.items()}


def _mistake(text: str) -> Mistake:
    return Mistake(file=text, line=1, column=1, path=text, wrong=text, right=text)
