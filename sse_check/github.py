"""All that is GitHub's: the inputs of the action, its outputs, masks, annotations, log groups and the step summary.

Sources: actions/runner (ActionCommandManager.cs, FileCommandManager.cs, Handlers/Handler.cs) for the protocol, and the
"Workflow commands" and "Metadata syntax" pages of GitHub's documentation.
"""

import os
import re
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TextIO

from sse_check.errors import UsageError
from sse_check.escape import command, is_text, log_lines, mask_command, put
from sse_check.report import SUMMARY_LIMIT, Report, Result, summary_markdown
from sse_check.report.exactness import exactness
from sse_check.scenario import Mistake, Place

# A step keeps ten annotations of a kind (actions/runner, ExecutionContext.cs): nine, and one that counts the rest.
_MAX_ANNOTATIONS: Final = 9
_LEAST_MASKED: Final = 4  # characters
# What outputs consist of.
_OWN_WORDS: Final = frozenset({"true", "false", "viable", "not-viable", "inconclusive", "websocket", "batch", "none", "null"})
_MAX_DEBUG: Final = 200  # streams
DEFAULT_REPORT_DIR: Final = "sse-check-report"
SUMMARY_BYTES: Final = 1024 * 1024

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Level = Literal["error", "warning", "notice"]
_LEVELS: Final[dict[str, Level]] = {"error": "error", "warning": "warning", "note": "notice"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The action's inputs, and where on the runner it works."""

    scenario: str
    url: str
    variables: dict[str, str]
    secrets: dict[str, str]
    fail_on: str
    report_dir: str
    baseline: str
    pushgateway: str
    otlp: str
    shard: str
    start_at: str
    containers: bool
    allow_hosts: tuple[str, ...]
    debug: bool
    workspace: Path
    output_file: Path | None
    summary_file: Path | None


def read_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The input `secrets` alone, as far as it can be read: what must be masked before anything else is said."""
    pairs = (line.partition("=") for line in _input(environ, "secrets").splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs if value.strip()}


def read_inputs(environ: Mapping[str, str]) -> Inputs:
    """The inputs as the runner hands them over: `INPUT_` and the name in upper case, its hyphens kept.

    Raises UsageError where one is wrong.
    """
    workspace = Path(environ.get("GITHUB_WORKSPACE") or ".").resolve()
    fail_on = _input(environ, "fail-on") or "not-viable"
    if fail_on not in ("not-viable", "inconclusive", "never"):
        raise UsageError(f'fail-on: "{fail_on}" is not known. Write not-viable, inconclusive or never.')
    containers = (_input(environ, "containers") or "false").lower()
    if containers not in ("true", "false"):
        raise UsageError(f'containers: "{containers}" is not known. Write true or false.')
    report_dir = _input(environ, "report-dir") or DEFAULT_REPORT_DIR
    inside_workspace(workspace, report_dir, "report-dir")
    for name in ("scenario", "url", "variables", "baseline", "allow-hosts", "report-dir"):
        if not is_text(_input(environ, name)):
            raise UsageError(f"{name}: it holds bytes that are no UTF-8. Write it in UTF-8.")
    return Inputs(
        scenario=_input(environ, "scenario") or ".github/sse-check.yml",
        url=_input(environ, "url"),
        variables=_pairs("variables", _input(environ, "variables")),
        secrets=_pairs("secrets", _input(environ, "secrets")),
        fail_on=fail_on,
        report_dir=report_dir,
        baseline=_input(environ, "baseline"),
        # No inputs: their URLs may hold a password, and a variable of the step's `env` is what an exporter is configured by.
        pushgateway=environ.get("SSE_CHECK_PUSHGATEWAY", "").strip(),
        otlp=environ.get("SSE_CHECK_OTLP", "").strip(),
        # A matrix knows its own place, and all its jobs have the same inputs.
        shard=environ.get("SSE_CHECK_SHARD", ""),
        start_at=environ.get("SSE_CHECK_START_AT", ""),
        containers=containers == "true",
        debug=environ.get("RUNNER_DEBUG") == "1",
        allow_hosts=tuple(line.strip() for line in _input(environ, "allow-hosts").splitlines() if line.strip()),
        workspace=workspace,
        output_file=_path(environ, "GITHUB_OUTPUT"),
        summary_file=_path(environ, "GITHUB_STEP_SUMMARY"),
    )


def inside_workspace(workspace: Path, name: str, which: str) -> Path:
    """The path of an input, links followed. Raises UsageError where it leads out of the workspace."""
    path = (workspace / name).resolve()
    if not path.is_relative_to(workspace):
        raise UsageError(f'{which}: "{name}" is outside the workspace. Write a path within the repository.')
    if ".git" in path.relative_to(workspace).parts:
        raise UsageError(f'{which}: "{name}" lies in .git, which may hold credentials. Write a path outside of it.')
    return path


def _input(environ: Mapping[str, str], name: str) -> str:
    """An input; where steps hand them on themselves (a composite action) hyphens may have become underscores."""
    upper = name.upper()
    return (environ.get(f"INPUT_{upper}") or environ.get(f"INPUT_{upper.replace('-', '_')}") or "").strip()


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name)
    return Path(value) if value else None


def _pairs(which: str, text: str) -> dict[str, str]:
    """Lines `NAME=value`. The message names the line by its number only: what it holds may be a secret."""
    pairs: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        if not equals or _NAME.fullmatch(name.strip()) is None:
            raise UsageError(f"{which}: line {number} is not NAME=value. Write for example API_KEY=…, one a line.")
        pairs[name.strip()] = value.strip()
    return pairs


# --- the log ----------------------------------------------------------------------------------------------------------


def mask(values: Iterable[str], out: TextIO) -> None:
    """Tell the runner what to hide, in this form and in those that it makes of it itself. Must come before anything that could show it.

    A value such as `true` is not told: the runner would hide the word in every later log, and drop every output that holds it.
    It encodes each value as Base64 (at three alignments), as a URL, as JSON and as XML (actions/runner, HostContext.cs).
    """
    for value in values:
        for line in dict.fromkeys((value, *value.splitlines())):
            if len(line.strip()) >= _LEAST_MASKED and line.strip().lower() not in _OWN_WORDS:
                put(mask_command(line), out)


def annotate(level: Level, message: str, out: TextIO, **properties: str | int | None) -> None:
    """One annotation. Properties are those of the workflow command: title, file, line, col."""
    put(command(level, message, **properties), out)


def annotate_result(result: Result, out: TextIO, places: Mapping[str, Place] | None = None) -> None:
    """What the run found, as annotations: as many of each kind as a step may keep, the rest counted.

    Each is on the line of the scenario where its probe or service stands, so that a pull request shows it there; `places`
    has them by name: `probes.chat`, `services.app`.
    """
    told: dict[Level, list[tuple[str, str, str]]] = {"error": [], "warning": [], "notice": []}
    if result.verdict == "inconclusive" and not any(service.error for service in result.services):
        told["warning"].append((result.verdict, "", " ".join(result.reasons[:3])))  # first: what explains the answer must be among the ten
    for finding in result.findings:
        told[_LEVELS[finding.severity]].append((finding.code, finding.probe, finding.message))
    ill = {f.probe for f in result.findings if f.severity == "error"}
    told["error"] += [("criterion missed", c.probe, c.detail) for c in result.criteria if c.passed is False and c.probe not in ill]
    where = places or {}
    for level, messages in told.items():
        for title, probe, message in messages[:_MAX_ANNOTATIONS]:
            annotate(
                level, message, out, title=f"sse-check: {title}" + (f" in {probe}" if probe else ""), **_at(where.get(f"probes.{probe}"))
            )
        if len(messages) > _MAX_ANNOTATIONS:
            annotate(level, f"and {len(messages) - _MAX_ANNOTATIONS} more, see the job summary", out, title="sse-check")
    for service in result.services:
        if service.error:
            annotate("error", service.error, out, title=f"sse-check: {service.name}", **_at(where.get(f"services.{service.name}")))


def _at(place: Place | None) -> dict[str, str | int]:
    """A place as an annotation's properties."""
    return {} if place is None else {"file": place.file, "line": place.line, "col": place.column}


def annotate_mistakes(mistakes: Iterable[Mistake], out: TextIO) -> None:
    """A scenario's mistakes, on its own lines."""
    listed = list(mistakes)
    for mistake in listed[:_MAX_ANNOTATIONS]:
        annotate(
            "error",
            f"{mistake.path}: {mistake.wrong} {mistake.right}".removeprefix(": "),
            out,
            title="sse-check: scenario",
            file=mistake.file,
            line=mistake.line,
            col=mistake.column,
        )
    if len(listed) > _MAX_ANNOTATIONS:
        annotate("error", f"and {len(listed) - _MAX_ANNOTATIONS} more mistakes, see the log", out, title="sse-check: scenario")


def begin_group(title: str, out: TextIO) -> None:
    """Fold what follows in the log, up to `end_group`."""
    put(command("group", title), out)


def end_group(out: TextIO) -> None:
    """End the fold."""
    put(command("endgroup"), out)


def show_logs(result: Result, out: TextIO) -> None:
    """The logs of the services, each in a fold of its own; they are there where something failed."""
    for service in result.services:
        if service.log:
            begin_group(f"Log of the service {service.name}", out)
            put(log_lines(f"| {line}" for line in service.log.splitlines()), out)
            end_group(out)


def debug(lines: Iterable[str], out: TextIO) -> None:
    """Lines that the log shows only where debug logging is on."""
    for line in lines:
        put(command("debug", line), out)


def debug_result(result: Result, out: TextIO) -> None:
    """How each stream went, for whoever looks for the reason of a surprise: phases, ends and errors, in seconds."""
    debug([exactness(result.environment)], out)
    for stream in (*result.test_results, *result.follow_ups)[:_MAX_DEBUG]:
        phases = ", ".join(f"{name} {at}" for name, at in stream.timings.items() if at is not None)
        changed = f" ({stream.factor})" if stream.factor else ""
        debug(
            [
                f"{stream.probe} #{stream.stream}{changed}: {stream.url}: {phases}; {stream.total_events} events in {stream.reads} reads "
                f"of {stream.bytes} bytes, {stream.comments} comments; ended: {stream.ended} after {stream.end_time} s"
                + (f", {stream.error}" if stream.error else "")
            ],
            out,
        )
    for finding in result.findings:
        debug([f"{finding.code} in {finding.probe}, {finding.confidence}: {finding.evidence}"], out)


# --- the files --------------------------------------------------------------------------------------------------------


def outputs(result: Result | None, report_dir: str, *, report: bool = True) -> dict[str, str]:
    """The action's outputs; without a result they say that nothing is known. A gate tests `streaming_enabled == 'true'`.

    `report` says whether report.json is there.
    """
    worked = next((f.kind for f in result.fallbacks if f.worked), "none") if result else "none"
    first = result.summary.avg_first_event_time if result else None
    return {
        "streaming_enabled": "true" if result and result.streaming_enabled else "false",
        "verdict": result.verdict if result else "inconclusive",
        "recommendation": result.recommendation if result else "MEASURE AGAIN",
        "success_rate": f"{result.overall_success_rate:g}" if result else "",
        "codes": ",".join(dict.fromkeys(f.code for f in result.findings)) if result else "",
        "first_event_time": "" if first is None else f"{first:g}",
        "concurrent_success": (result.summary.concurrent_success or "") if result else "",
        "idle_timeout": _measured(result, "idle-timeout", "idle_timeout"),
        "max_duration": _measured(result, "duration-limit", "max_duration"),
        "fallback": worked,
        "report": f"{report_dir}/report.json" if result and report else "",
        "report-dir": report_dir,
    }


def _measured(result: Result | None, code: str, figure: str) -> str:
    """A limit in seconds, from the first finding that measured it; empty where none did."""
    found = [f.evidence[figure] for f in result.findings if f.code == code and figure in f.evidence] if result else []
    return f"{found[0]:g}" if found and not isinstance(found[0], str) else ""


def write_outputs(file: Path | None, values: Mapping[str, str]) -> str | None:
    """Append outputs; what is written last counts. Each value ends at a delimiter that nobody can foresee.

    All of them or none: the runner fails a step whose file ends within a value. Returns what to say where it is none.
    """
    if file is None:
        return None
    text = ""
    for name, value in values.items():
        delimiter = f"sse_check_{secrets.token_hex(16)}"
        text += f"{name}<<{delimiter}\n{value}\n{delimiter}\n"
    return _append(file, text, "GITHUB_OUTPUT: the outputs could not be written, so that no gate opens")


def _append(file: Path, text: str, wrong: str) -> str | None:
    """Append a text, all of it or nothing; `wrong` and the reason where it was nothing."""
    try:
        # Not waiting: where a workflow names a pipe, nobody may ever read it.
        descriptor = os.open(
            file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), 0o666
        )
        try:
            before, rest = os.fstat(descriptor).st_size, text.encode("utf-8", "replace")
            try:
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"{wrong}: {error.strerror}."
    return None


def write_first_outputs(environ: Mapping[str, str]) -> str | None:
    """The outputs of a run of which nothing is known yet, before any input is read that could be wrong."""
    report_dir = _input(environ, "report-dir") or DEFAULT_REPORT_DIR
    return write_outputs(_path(environ, "GITHUB_OUTPUT"), outputs(None, report_dir))


def append_summary(file: Path | None, report: Report) -> str | None:
    """Append to the step summary, in what room there is: beyond 1 MiB GitHub would drop all of it.

    Returns what to say where it could not be written.
    """
    if file is None:
        return None
    already = 0
    with suppress(OSError):  # there is none yet
        already = file.stat().st_size
    markdown = summary_markdown(report, min(SUMMARY_LIMIT, SUMMARY_BYTES - already - 1))
    return _append(file, markdown + "\n", "GITHUB_STEP_SUMMARY: the job summary could not be written") if markdown else None


def hand_over(directory: Path, workspace: Path) -> None:
    """Give what root has written to the workspace's owner: a later checkout could not remove it otherwise."""
    with suppress(OSError):  # one of them has vanished: there is nothing to hand over
        owner = workspace.stat()
        if not hasattr(os, "geteuid") or os.geteuid() != 0 or owner.st_uid == 0 or not directory.is_dir():
            return
        above = [parent for parent in directory.parents if parent.is_relative_to(workspace) and parent != workspace]
        for path in (*above, directory, *directory.rglob("*")):
            with suppress(OSError):
                if path.lstat().st_uid == 0:
                    os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
