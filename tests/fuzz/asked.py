"""What a user, a workflow or a fork's author writes: scenarios, options and inputs; and the texts that leave sse-check again."""

import contextlib
import io
import math
import os
import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from sse_check import github
from sse_check.action import allowed_hosts
from sse_check.arguments import parser
from sse_check.checking import check_addresses
from sse_check.columns import Numbers, Texts
from sse_check.errors import UsageError
from sse_check.escape import code, command_data, command_property, element, fence, for_log, literal, log_lines, prose, quoted, visible
from sse_check.fields import numbers_in, numbers_of
from sse_check.hosts import host_allowed
from sse_check.planning import Planner
from sse_check.redaction import REDACTED, Redactor
from sse_check.scenario import (
    Scenario,
    ScenarioError,
    Variables,
    check_url,
    compared,
    load_placed,
    planned_until,
    stream_timeout,
    variables_in,
)
from sse_check.scenario.redacted import redact_scenario
from sse_check.shards import read_part
from sse_check.sources import probe_scenario, resolve_table, url_scenario, variables_of
from sse_check.transport.dial import path_of, target_of
from sse_check.transport.http1 import _head_of
from sse_check.units import format_duration, parse_duration, parse_percent
from tests.fuzz.broken import dice, hold

FILE: Final = "sse-check.yml"
_LINE_END: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # YAML 1.1, section 4.1.4
_SECRET: Final = "s3cr3t-value-of-9"
_DAY_S: Final = 24 * 3600.0
_OWN: Final = {"host", "authorization", "content-length", "connection"}
_MOST_STREAMS: Final = 500  # of a scenario that is planned here

# --- the scenario -----------------------------------------------------------------------------------------------------


def scenario(data: bytes) -> None:
    """Any file is a scenario that can be kept and planned, or is refused: each mistake at a place within the file, without secrets."""
    values = {
        "BASE_URL": "https://app.example.test",
        "API_KEY": _SECRET,
        "N": "3",
        "T": "2s",
        "EMPTY": "",
        "ODD": "a\udcffb",
        "LINES": "a\r\nb",
    }
    given = Variables(values=values, secrets=frozenset({"API_KEY", "ODD"}), assume=dice(data).random() < 0.3)
    variables_in(data)
    try:
        plan, places = load_placed(data, file=FILE, variables=given)
    except ScenarioError as error:
        lines = _LINE_END.split(data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))
        hold(0 < len(error.mistakes) <= 50, "a refusal names mistakes, and not without end")
        for mistake in error.mistakes:
            hold(1 <= mistake.line <= len(lines) + 1, f"the line is one of the file: {mistake.line} of {len(lines)}")
            text = lines[mistake.line - 1] if mistake.line <= len(lines) else ""
            hold(1 <= mistake.column <= len(text) + 1, f"the column is one of the line: {mistake.column} of {len(text)}")
            hold(mistake.file == FILE and mistake.wrong.endswith((".", "!", "?")), f"a mistake is a sentence: {mistake.wrong}")
            hold(_SECRET not in str(mistake) or _SECRET.encode() in data, "no secret is quoted")
            for_log(str(mistake)).encode("utf-8")
        return
    hold(all(place.line >= 1 and place.column >= 1 for place in places.values()), "what is there has its place")
    plan = compared(plan)
    redacted = redact_scenario(plan, Redactor(given.secret_values()))
    raw = msgspec.json.encode(redacted)
    hold(msgspec.json.decode(raw, type=Scenario) == redacted, "a scenario can be kept in a recording")
    hold(_SECRET.encode() not in raw or _SECRET.encode() in data, "no secret is kept")
    for probe in plan.probes:
        hold(0 < stream_timeout(plan, probe) < math.inf, "every stream is given up at some time")
        planned_until(plan, probe)
    _can_be_observed(plan)
    with contextlib.suppress(UsageError):
        allowed_hosts(plan, ("*.example.test", "app:80"))


def _can_be_observed(plan: Scenario) -> None:
    """Each of its requests has a head that holds what was asked for, and nothing else."""
    if sum(probe.stream_count for probe in plan.probes) > _MOST_STREAMS or plan.target.tls.ca or plan.target.tls.cert:
        return
    streams = [stream for group in Planner(plan).groups() for stream in group]
    hold(bool(streams), "there is a stream to open")
    for request in {stream.probe: stream.request for stream in streams}.values():
        _can_be_asked(request.url)
        with contextlib.suppress(ValueError):  # a host that is none: refused where it is dialled
            lines = _head_of(request, target_of(request.url), None).split(b"\r\n")
            names = {line.partition(b":")[0].lower().decode("latin-1") for line in lines[1:-2]}
            hold(lines[-2:] == [b"", b""] and b"" not in lines[:-2], "a head ends once")
            hold(lines[0].count(b" ") == 2 and not any(b"\n" in line or b"\r" in line for line in lines), "a head is made of lines")
            hold(names <= {name.lower() for name, _ in request.headers} | _OWN, f"no header is smuggled in: {names}")


def _can_be_asked(url: str) -> None:
    """A URL that was accepted can be sent as a request, within its line; or its host is refused where it is dialled."""
    try:
        target = target_of(url)
    except ValueError:
        return  # an End, not a defect
    sent = f"{path_of(url)} {target.authority}"
    hold(
        sent.isascii() and not any(character in sent for character in "\r\n\0") and " " not in path_of(url),
        f"a request stays one line: {sent!r}",
    )


# --- options and inputs -----------------------------------------------------------------------------------------------


def _duration(text: str) -> None:
    seconds = parse_duration(text)
    hold(0 <= seconds <= _DAY_S, "a duration is within a day")
    hold(
        math.isclose(parse_duration(format_duration(seconds)), seconds, rel_tol=0.01, abs_tol=1e-9),
        "a duration is shown as it may be written",
    )


def _percent(text: str) -> None:
    hold(0 <= parse_percent(text) <= 100, "a percentage is of a hundred")


def _url(text: str) -> None:
    hold(check_url(text) == text, "a URL is taken as it is")
    plan = url_scenario(text)
    hold(host_allowed(text, allowed_hosts(plan, ())), "what a scenario asks is allowed without patterns")
    _can_be_asked(text)


def _redirect(text: str) -> None:
    Redactor([_SECRET]).url(text)


def _command_line(text: str) -> None:
    """Options, a line each."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            args = parser().parse_args(text.split("\n"))
        except SystemExit as end:
            hold(end.code in (0, 2), "wrong options end with status 2")
            return
    if hasattr(args, "variables"):
        args.secret_env = []
        variables_of(args)
    if args.command == "probe" and not str(args.data or "").startswith("@"):
        plan = probe_scenario(args)
        msgspec.json.encode(plan)
        _can_be_observed(plan)
    if hasattr(args, "shard"):
        read_part(args.shard, args.start_at, {}, names=("--shard", "--start-at"))


def _inputs(text: str) -> None:
    """The action's inputs: lines `name<<value`, in which a backslash and n is a line break."""
    pairs = (line.partition("<<") for line in text.split("\n"))
    environ = {f"INPUT_{name.upper()}": value.replace("\\n", "\n") for name, _, value in pairs}
    environ["GITHUB_WORKSPACE"] = "/nowhere/at/all"
    out = io.StringIO()
    github.mask(github.read_secrets(environ).values(), out)
    hold(
        all(line.startswith("::add-mask::") for line in out.getvalue().splitlines() if line),
        "a secret's lines are masked, and no command is made of them",
    )
    inputs = github.read_inputs(environ)
    hold(all(github.read_secrets(environ).get(name, "") == value for name, value in inputs.secrets.items()), "every secret is masked")
    for name in (inputs.report_dir, inputs.scenario, inputs.baseline):
        path = github.inside_workspace(inputs.workspace, name, "report-dir")
        hold(path.is_relative_to(Path("/nowhere/at/all")), "no path leaves the workspace")


def _shard(text: str) -> None:
    part = read_part(text, "", {"JOB_COMPLETION_INDEX": "1"}, names=("--shard", "--start-at"))
    hold(1 <= part.index <= part.of, "a shard is one of them")


def _start_at(text: str) -> None:
    part = read_part("1/2", text, {}, names=("--shard", "--start-at"))
    hold(part.start_at is None or math.isfinite(part.start_at), "an instant is a time")
    hold(part.shard is not None, "a shard is kept in the recording")


def _pushed(text: str) -> None:
    check_addresses(pushgateway=text)


_KINDS: Final[dict[str, Callable[[str], object]]] = {
    "duration": _duration,
    "percent": _percent,
    "url": _url,
    "redirect": _redirect,
    "options": _command_line,
    "inputs": _inputs,
    "shard": _shard,
    "start-at": _start_at,
    "resolve": lambda text: resolve_table([text]),
    "push": _pushed,
}


def inputs(data: bytes) -> None:
    """A first line that names what is given, and its text: read, or refused in a sentence."""
    kind, _, rest = data.partition(b"\n")
    read = _KINDS.get(kind.decode("latin-1")) or list(_KINDS.values())[(kind[0] if kind else 0) % len(_KINDS)]
    text = os.fsdecode(rest).replace("\0", "")  # neither the environment nor an argument can hold one
    try:
        read(text)
    except (UsageError, ValueError, ArgumentTypeError) as error:
        hold(
            isinstance(error, UsageError | ArgumentTypeError) or type(error).__name__ == "Unreadable",
            f"a refusal is one of ours: {error!r}",
        )
        hold(bool(str(error)), "a refusal says something")
        for_log(str(error)).encode("utf-8")


# --- texts ------------------------------------------------------------------------------------------------------------


def texts(data: bytes) -> None:
    """A secret and a text, with a zero byte between them: nothing of the secret is left, and the text is harmless at every exit."""
    first, _, second = data.partition(b"\0")
    secret, text = first.decode("utf-8", "surrogateescape"), second.decode("utf-8", "surrogateescape")
    redactor = Redactor([secret])
    for dirty in (text + secret + text, f"https://app.example.test/{secret}?q={secret}", text):
        cleaned = redactor.text(dirty)
        hold(not secret or all(secret not in part for part in cleaned.split(REDACTED)), "no secret survives")
    redactor.url(text)
    redactor.header("Set-Cookie", text)
    redactor.header("Cookie", text)
    for exit_ in (visible, quoted, code, literal, element, prose):
        shown = exit_(text)
        hold("\n" not in shown and "\r" not in shown, f"{exit_.__name__} is one line")
        hold(shown.isprintable(), f"{exit_.__name__} shows all that there is")
        shown.encode("utf-8")
    for log in (for_log(text), log_lines(text.splitlines())):
        hold("##[" not in log, "no part of a log is a command")
        hold(not any(line.lstrip().startswith("::") for line in log.split("\n")), "no line of a log is a command")
        log.encode("utf-8")
    fence(text).encode("utf-8")
    hold("\n" not in command_data(text) and "\r" not in command_data(text), "a command's message is one line")
    hold(not set("\r\n:,") & set(command_property(text)), "a command's property ends nothing")
    _columns(second)


def _columns(data: bytes) -> None:
    """What stands in lines, as events' data: the same numbers one by one and together, and columns that give back what they took."""
    lines = data.decode("utf-8", "replace").split("\n")[:200]
    single = [numbers_in(line) for line in lines]
    names = dict.fromkeys(name for row in single for name in row)
    together = numbers_of(lines)
    hold(
        {name: list(column) for name, column in together.items()} == {name: [row.get(name) for row in single] for name in names},
        "events together have the numbers that each has by itself",
    )
    for name in names:
        column = [row.get(name) for row in single]
        hold(list(Numbers(column)) == column, "a column of numbers gives back what it took")
        hold(all(number is None or math.isfinite(number) for number in column), "numbers are finite")
    hold(list(Texts(lines)) == lines, "a column of texts gives back what it took")
