"""Arguments -> pipeline -> exit status. The only place that knows exit codes, and the only one that prints.

0    viable
1    not viable
2    the scenario or the arguments are wrong; nothing was sent
3    inconclusive
70   a defect of sse-check itself
130, 143   interrupted by SIGINT, SIGTERM; what was measured is reported
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import re
import ssl
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import urlsplit

from sse_check import __version__
from sse_check.escape import for_log
from sse_check.scenario import (
    Criteria,
    Expect,
    Mistake,
    Probe,
    Scenario,
    ScenarioError,
    Target,
    Until,
    Variables,
    check_url,
    load,
    schema,
    variables_in,
)
from sse_check.scenario.model import DEFAULT_CONCURRENT_STREAMS
from sse_check.units import parse_duration, parse_percent

USAGE: Final = 2
DEFECT: Final = 70

_STATUS: Final = {"viable": 0, "not-viable": 1, "inconclusive": 3}
_FAIL_ON: Final = {"not-viable": {1}, "inconclusive": {1, 3}, "never": set[int]()}
_MAX_BODY_BYTES: Final = 10 * 1024 * 1024


class UsageError(Exception):
    """The arguments are wrong; the message says what is wrong and what would be right."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the result is its exit status."""
    return _guarded(lambda: _run_command(_parser().parse_args(argv)), sys.stderr)


def action(environ: Mapping[str, str]) -> int:
    """Run as the GitHub Action: inputs from the environment, outputs in every case. Human output goes to stdout."""
    from sse_check import github

    output = environ.get("GITHUB_OUTPUT")
    report_dir = environ.get("INPUT_REPORT-DIR") or environ.get("INPUT_REPORT_DIR") or "sse-check-report"
    # First of all: whatever happens from here on, a gate that reads the outputs stays shut.
    github.write_outputs(Path(output) if output else None, github.outputs(None, report_dir))
    github.mask(github.read_secrets(environ).values(), sys.stdout)
    return _guarded(lambda: _run_action(environ), sys.stdout, annotations=True)


def _guarded(run: Callable[[], int], out: TextIO, *, annotations: bool = False) -> int:
    """Errors that can be named become one message and status 2; anything else is a defect, and never "not viable"."""
    # What libraries log can hold a stranger's text; what matters of it reaches the report.
    logging.getLogger().addHandler(logging.NullHandler())
    from sse_check import github

    try:
        return run()
    except ScenarioError as error:
        if annotations:
            github.annotate_mistakes(error.mistakes, out)
        print(for_log(str(error)), file=out)
    except (UsageError, github.InputError) as error:
        if annotations:
            github.annotate("error", str(error), out, title="sse-check")
        print(for_log(f"sse-check: {error}"), file=out)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of stdout has gone; nothing can be told to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return USAGE
    except Exception as error:  # noqa: BLE001  # the boundary: a crash must not look like a verdict
        print(for_log(f"sse-check: a defect of sse-check itself: {type(error).__name__}: {error}"), file=out)
        print(for_log("".join(traceback.format_exception(error))), file=out)
        return DEFECT
    return USAGE


# --- arguments --------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sse-check",
        description="Do Server-Sent Events really stream through this deployment, and if not, what holds them back and what change cures it?",
    )
    parser.add_argument("--version", action="version", version=f"sse-check {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="check what a scenario says")
    run.add_argument("scenario", metavar="SCENARIO.yml", type=Path)
    _add_variables(run)
    _add_reporting(run, fail_on=True)

    probe = commands.add_parser("probe", help="check one URL with the default criteria, alone and three streams at once")
    probe.add_argument("url", metavar="URL")
    probe.add_argument(
        "--deadline",
        metavar="25s",
        type=_type(parse_duration),
        default=Criteria().event_deadline,
        help="every event within, counted from the request",
    )
    probe.add_argument(
        "--success-rate", metavar="90", type=_type(parse_percent), default=Criteria().success_rate, help="percentage of events on time"
    )
    probe.add_argument("-H", "--header", metavar="'Name: value'", action="append", default=[], dest="headers")
    probe.add_argument("--method", metavar="M", help="GET, or POST where there is data")
    probe.add_argument("--data", metavar="@FILE", help="the request's body: text, or @ and a file")
    probe.add_argument(
        "--streams", metavar="N", type=_type(_count), help="streams at once, beside one alone; 1: only the one alone (default 3)"
    )
    probe.add_argument("--events", metavar="N", type=_type(_count), help="a stream has shown enough after so many events")
    probe.add_argument("--duration", metavar="30s", type=_type(parse_duration), help="or after so long (default: the deadline)")
    _add_reporting(probe, fail_on=True)

    judge = commands.add_parser("judge", help="judge again what was recorded, without network")
    judge.add_argument("recordings", metavar="RECORDING", nargs="+", type=Path)
    judge.add_argument(
        "--scenario", metavar="SCENARIO.yml", type=Path, help="judge by this scenario's criteria and hints instead of the recorded ones"
    )
    _add_variables(judge)
    _add_reporting(judge, fail_on=True)

    validate = commands.add_parser("validate", help="every mistake of a scenario, with file:line:column")
    validate.add_argument("scenario", metavar="SCENARIO.yml", type=Path)
    _add_variables(validate)

    commands.add_parser("schema", help="the scenario's JSON Schema")

    demo = commands.add_parser("demo", help="the whole check against the embedded server")
    demo.add_argument("--fault", metavar="CODE", help="let the server show this fault")
    _add_reporting(demo, fail_on=False)

    serve = commands.add_parser("serve", help="the embedded server alone: a reference SSE endpoint with faults on demand")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", metavar="P", type=_type(_port), default=8080)
    return parser


def _add_variables(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--var", metavar="K=V", action="append", default=[], dest="variables", help="a variable of the scenario")
    parser.add_argument(
        "--secret-env", metavar="NAME", action="append", default=[], dest="secret_env", help="a secret variable, taken from the environment"
    )


def _add_reporting(parser: argparse.ArgumentParser, *, fail_on: bool) -> None:
    parser.add_argument("--report-dir", metavar="DIR", type=Path, help="where the reports go")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="what stdout carries")
    if fail_on:
        parser.add_argument(
            "--fail-on",
            choices=tuple(_FAIL_ON),
            help="which verdicts end with a status other than 0 (default: 1 for not-viable, 3 for inconclusive)",
        )


def _type(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser of ours as argparse wants it: its message kept, whatever the function is called."""

    def read(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) < 1:
        raise ValueError(f'"{text}" is no count. Write a whole number from 1 to 999999.')
    return int(text)


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise ValueError(f'"{text}" is no port. Write a number from 0 (any free one) to 65535.')
    return int(text)


# --- commands ---------------------------------------------------------------------------------------------------------


def _run_command(args: argparse.Namespace) -> int:
    match args.command:
        case "run":
            scenario, variables = _load_file(args.scenario, _variables(args))
            return _check(scenario, variables.secret_values(), args)
        case "probe":
            return _check(_probe_scenario(args), (), args)
        case "judge":
            return _judge(args)
        case "validate":
            return _validate(args)
        case "schema":
            print(json.dumps(schema(), indent=2))
            return 0
        case "demo":
            return _demo(args)
        case _:
            return _serve(args)


def _check(scenario: Scenario, secrets: Sequence[str], args: argparse.Namespace) -> int:
    checked = _observed(scenario, secrets=secrets, report_dir=args.report_dir, hosts=None, out=sys.stderr)
    _print_result(checked, args)
    return _exit_status(checked, args.fail_on)


def _observed(scenario: Scenario, *, secrets: Sequence[str], report_dir: Path | None, hosts: tuple[str, ...] | None, out: TextIO) -> Any:
    """Run the check with progress on `out`, and write its reports."""
    from sse_check.pipeline import ReportDirError, check, prepare_report_dir, publish
    from sse_check.progress import Progress

    progress = Progress(out, live=out.isatty())

    async def observe() -> Any:
        showing = asyncio.ensure_future(progress.show())
        try:
            return await check(scenario, secrets=secrets, hosts=hosts, watch=progress.watch)
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    try:
        if report_dir is not None:
            prepare_report_dir(report_dir)
        checked = asyncio.run(observe())
        if report_dir is not None:
            publish(checked, report_dir)
    except ReportDirError as error:
        raise UsageError(str(error)) from None
    except ssl.SSLError as error:
        raise UsageError(
            f"target.tls.ca: {scenario.target.tls.ca} holds no certificate that can be used ({error.reason}). Name a PEM file."
        ) from None
    return checked


def _print_result(checked: Any, args: argparse.Namespace) -> None:
    """The result on stdout, and nothing else."""
    from sse_check.report import report_json, terminal_text

    if args.format == "json":
        print(report_json(checked.result).decode(), end="")
    else:
        print(terminal_text(checked.result, report_dir=str(args.report_dir) if args.report_dir else None))


def _exit_status(checked: Any, fail_on: str | None) -> int:
    if checked.stopped_by is not None:
        return 128 + int(checked.stopped_by)
    status = _STATUS[checked.result.verdict]
    return status if fail_on is None or status in _FAIL_ON[fail_on] else 0


def _judge(args: argparse.Namespace) -> int:
    from sse_check.pipeline import ReportDirError, prepare_report_dir, publish, rejudge
    from sse_check.recording import RecordingError

    try:
        scenario = _load_file(args.scenario, _variables(args))[0] if args.scenario else None
        checked = rejudge(args.recordings, scenario)
        if args.report_dir is not None:
            prepare_report_dir(args.report_dir)
            publish(checked, args.report_dir)
    except (RecordingError, ReportDirError) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{error.filename}: the recording cannot be read: {error.strerror}.") from None
    _print_result(checked, args)
    return _exit_status(checked, args.fail_on)


def _validate(args: argparse.Namespace) -> int:
    given = _variables(args)
    _load_file(args.scenario, Variables(values=given.values, secrets=given.secrets, assume=True))
    open_names = [name for name in variables_in(args.scenario.read_bytes()) if name not in given.values]
    needs = f" (needs the variables {', '.join(open_names)})" if open_names else ""
    print(for_log(f"{args.scenario}: valid{needs}"))
    return 0


def _demo(args: argparse.Namespace) -> int:
    from sse_check.diagnosis import CODES

    known = [code for code in CODES if code != "runner-noise"]
    if args.fault is not None and args.fault not in known:
        raise UsageError(f'--fault: "{args.fault}" cannot be shown. Known: {", ".join(known)}.')
    args.report_dir = args.report_dir or Path("sse-check-demo")
    with _demo_server(args.fault) as base:
        checked = _observed(_demo_scenario(base, args.fault), secrets=(), report_dir=args.report_dir, hosts=None, out=sys.stderr)
    _print_result(checked, args)
    return _exit_status(checked, None)


@contextlib.contextmanager
def _demo_server(fault: str | None) -> Iterator[str]:
    """The embedded server, in a thread of its own as it would be a machine of its own; or a port where nothing listens."""
    import socket
    import threading

    if fault == "refused":
        with socket.socket() as bound:  # bound, so that nobody else takes it, and not listening
            bound.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        return
    from sse_check.origin import serving

    started, base = threading.Event(), ""
    loop = asyncio.new_event_loop()
    finish = asyncio.Event()

    async def serve() -> None:
        nonlocal base
        async with serving() as base:
            started.set()
            await finish.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield base
    finally:
        loop.call_soon_threadsafe(finish.set)
        thread.join(10)
        loop.close()


# What makes a fault show within the demo's few seconds, beside the fault itself.
_DEMO_QUERY: Final = {
    "buffered-block": "&size=300&block=1500",
    "buffered-time": "&flush=600ms",
    "duration-limit": "&after=1s",
    "no-heartbeat": "&after=4s",
}


def _demo_scenario(base: str, fault: str | None) -> Scenario:
    query = f"&fault={fault}{_DEMO_QUERY.get(fault, '')}" if fault and fault != "refused" else ""
    path = f"/events?count=10&every=200ms{query}"
    expect = Expect(heartbeat=1.0) if fault == "no-heartbeat" else Expect()
    until = Until(event="complete")
    return Scenario(
        version=1,
        name="Demo: the embedded server" + (f" with the fault {fault}" if fault else ""),
        target=Target(url=base),
        probes=(
            Probe(name="ten events", path=path, until=until, expect=expect, timeout=7.0),
            Probe(name="three at once", path=path, until=until, expect=expect, timeout=7.0, concurrent=True),
        ),
    )


def _serve(args: argparse.Namespace) -> int:
    import signal

    from sse_check.origin import endpoints, serving

    async def serve() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        async with serving(args.host, args.port) as base:
            print(endpoints(base), flush=True)
            await stopped.wait()

    try:
        asyncio.run(serve())
    except OSError as error:
        raise UsageError(f"--port: {args.host}:{args.port} cannot be had: {error.strerror}. Choose another, or 0 for a free one.") from None
    return 0


# --- scenarios --------------------------------------------------------------------------------------------------------


def _variables(args: argparse.Namespace) -> Variables:
    values: dict[str, str] = {}
    for pair in args.variables:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f'--var: "{name}" is not K=V. Write --var BASE_URL=https://app.example.test.')
        values[name] = value
    for name in args.secret_env:
        if name not in os.environ:
            raise UsageError(f"--secret-env: the environment has no {name}. Export it, or leave the option out.")
        values[name] = os.environ[name]
    return Variables(values=values, secrets=frozenset(args.secret_env))


def _load_file(path: Path, variables: Variables) -> tuple[Scenario, Variables]:
    """Read a scenario file; files that it names are found beside it. Raises ScenarioError, also where it cannot be read."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        mistake = Mistake(
            file=str(path),
            line=1,
            column=1,
            path="",
            wrong=f"the scenario cannot be read: {error.strerror}.",
            right="Name a YAML file, as examples/quickstart.yml is one.",
        )
        raise ScenarioError([mistake]) from None

    def unreadable(name: str) -> str | None:
        try:
            (path.parent / name).read_bytes()
        except OSError as error:
            return error.strerror
        return None

    scenario = load(raw, file=str(path), variables=variables, readable=unreadable)
    if scenario.target.tls.ca is not None:
        import msgspec

        tls = msgspec.structs.replace(scenario.target.tls, ca=str(path.parent / scenario.target.tls.ca))
        scenario = msgspec.structs.replace(scenario, target=msgspec.structs.replace(scenario.target, tls=tls))
    return scenario, variables


def _probe_scenario(args: argparse.Namespace) -> Scenario:
    """One URL with the founding criteria: one stream alone, then three at once."""
    try:
        headers = dict(_header(text) for text in args.headers)
        body = _body(args.data)
    except OSError as error:
        raise UsageError(f"--data: {error.filename} cannot be read: {error.strerror}.") from None
    return url_scenario(
        args.url,
        criteria=Criteria(success_rate=args.success_rate, event_deadline=args.deadline),
        until=Until(events=args.events, duration=args.duration),
        method=(args.method or ("POST" if body is not None else "GET")).upper(),
        headers=headers,
        body=body,
        streams=args.streams or DEFAULT_CONCURRENT_STREAMS,
    )


def url_scenario(
    url: str,
    *,
    criteria: Criteria | None = None,
    until: Until | None = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
    streams: int = DEFAULT_CONCURRENT_STREAMS,
) -> Scenario:
    """A scenario for one URL: one stream alone and, if more are wanted, so many at once. Raises UsageError for a bad URL."""
    try:
        check_url(url)
    except ValueError as error:
        raise UsageError(str(error)) from None
    until = until or Until()
    alone = Probe(name="alone", url=url, method=method, headers=dict(headers or {}), body=body, until=until)
    together = Probe(
        name=f"{streams} at once", url=url, method=method, headers=dict(headers or {}), body=body, until=until, streams=streams
    )
    return Scenario(
        version=1,
        name=urlsplit(url).hostname or "sse-check",
        criteria=criteria or Criteria(),
        probes=(alone, together) if streams > 1 else (alone,),
    )


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) is None or re.search(r"[\r\n\0]", value):
        raise UsageError(f"-H: \"{name}\" is no header. Write 'Name: value'.")
    return name, value.strip()


def _body(data: str | None) -> str | None:
    if data is None or not data.startswith("@"):
        return data
    path = Path(data[1:])
    if path.stat().st_size > _MAX_BODY_BYTES:
        raise UsageError(f"--data: {path} has more than 10 MiB. Send a smaller body.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"--data: {path} is not UTF-8 text. Only text can be sent.") from None


# --- the action -------------------------------------------------------------------------------------------------------


def _run_action(environ: Mapping[str, str]) -> int:
    from sse_check import github
    from sse_check.report import summary_markdown, terminal_text

    out = sys.stdout
    inputs = github.read_inputs(environ)
    variables = Variables(values={**inputs.variables, **inputs.secrets}, secrets=frozenset(inputs.secrets))
    if inputs.url:
        scenario = url_scenario(inputs.url)
    else:
        path = github.inside_workspace(inputs.workspace, inputs.scenario, "scenario")
        with contextlib.chdir(inputs.workspace):  # so that messages and annotations name the file as the repository does
            scenario, _ = _load_file(path.relative_to(inputs.workspace), variables)
    hosts = _allowed_hosts(scenario, inputs.allow_hosts)
    report_dir = github.inside_workspace(inputs.workspace, inputs.report_dir, "report-dir")

    github.begin_group(f"Probing {urlsplit(scenario.base_url).hostname}", out)
    try:
        with contextlib.chdir(inputs.workspace):
            checked = _observed(scenario, secrets=variables.secret_values(), report_dir=report_dir, hosts=hosts, out=out)
    finally:
        github.end_group(out)
    github.hand_over(report_dir, inputs.workspace)
    print(terminal_text(checked.result, report_dir=inputs.report_dir), file=out, flush=True)
    github.annotate_result(checked.result, out)
    github.append_summary(inputs.summary_file, summary_markdown(checked.result))
    github.write_outputs(inputs.output_file, github.outputs(checked.result, inputs.report_dir))
    return _exit_status(checked, inputs.fail_on)


def _allowed_hosts(scenario: Scenario, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The hosts that may be reached: those of the patterns, else of the scenario's own URLs. Raises UsageError where one is not."""
    from sse_check.probe import host_allowed

    urls = [scenario.url_of(probe) for probe in scenario.probes]
    urls += [scenario.fallback_url(option) for fallback in scenario.fallbacks if (option := fallback.websocket or fallback.batch)]
    if not patterns:
        return tuple(dict.fromkeys(urlsplit(url).hostname or "" for url in (*urls, scenario.base_url)))
    for url in urls:
        if not host_allowed(url, patterns):
            raise UsageError(f'allow-hosts: the scenario asks "{urlsplit(url).hostname}", which no pattern allows. Add a line for it.')
    return patterns
