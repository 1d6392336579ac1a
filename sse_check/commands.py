"""The commands that observe or judge: what each makes of its arguments, and what it prints."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from sse_check.checking import check_addresses, observed, pushed, quiet_libraries, unwritten
from sse_check.errors import UsageError
from sse_check.escape import for_log, json_lines, log_lines, put
from sse_check.interruption import Interruption
from sse_check.pipeline import Checked, publish, rejudge
from sse_check.progress import Progress, show_result
from sse_check.recording import RecordingError
from sse_check.report import report_json, terminal_text
from sse_check.reportdir import ReportDir
from sse_check.scenario import Scenario
from sse_check.shards import read_part
from sse_check.sources import load_baseline, load_file, probe_scenario, resolved, variables_of


def _run(args: argparse.Namespace) -> Checked:
    variables = variables_of(args)
    scenario, _ = load_file(args.scenario, variables)
    return _check(resolved(scenario, args.resolve), variables.secret_values(), args)


def _probe(args: argparse.Namespace) -> Checked:
    return _check(probe_scenario(args), (), args)


def _demo(args: argparse.Namespace) -> Checked:
    from sse_check.demo import demo_scenario, demo_server  # here: it brings the embedded server
    from sse_check.diagnosis import FAULTS

    if args.fault is not None and args.fault not in FAULTS:
        raise UsageError(f'--fault: "{args.fault}" cannot be shown. Known: {", ".join(FAULTS)}.')
    args.report_dir = args.report_dir or Path("sse-check-demo")
    args.pushgateway = args.otlp = None
    args.shard = args.start_at = ""
    with demo_server(args.fault) as base:
        return _check(demo_scenario(base, args.fault), (), args)


def _check(scenario: Scenario, secrets: Sequence[str], args: argparse.Namespace) -> Checked:
    check_addresses(pushgateway=args.pushgateway, otlp=args.otlp)
    with Interruption() as interruption:
        checked = observed(
            scenario,
            secrets=secrets,
            report_dir=args.report_dir,
            hosts=None,
            progress=Progress(sys.stderr, live=sys.stderr.isatty()),
            interruption=interruption,
            baseline=load_baseline(args.baseline) if args.baseline else None,
            part=read_part(args.shard, args.start_at, os.environ, names=("--shard", "--start-at")),
        )
        _print_result(checked, args)
        for said in pushed(checked, args.pushgateway, args.otlp, secrets):
            put(log_lines([f"sse-check: {said}"]), sys.stderr)
    return checked


def _judge(args: argparse.Namespace) -> Checked:
    try:
        scenario = load_file(args.scenario, variables_of(args))[0] if args.scenario else None
        baseline = load_baseline(args.baseline) if args.baseline else None
        checked = rejudge(args.recordings, scenario, baseline=baseline, compare=args.compare)
    except RecordingError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{error.filename}: the recording cannot be read: {error.strerror}.") from None
    if args.report_dir is not None:
        with ReportDir(args.report_dir) as directory:
            checked = replace(checked, unwritten=publish(checked, directory))
    _print_result(checked, args)
    return checked


# The commands that come to a verdict.
VERDICTS: Final[Mapping[str, Callable[[argparse.Namespace], Checked]]] = {"run": _run, "probe": _probe, "judge": _judge, "demo": _demo}


def _print_result(checked: Checked, args: argparse.Namespace) -> None:
    """The result on stdout, and nothing else; what could not be written of the reports on stderr."""
    for said in unwritten(checked, args.report_dir):
        put(for_log(f"sse-check: {said}"), sys.stderr)
    shown_dir = str(args.report_dir) if args.report_dir and not checked.unwritten else None
    if args.format == "json":
        put(json_lines(report_json(checked.result)), sys.stdout)
    else:
        show_result(terminal_text(checked.result, report_dir=shown_dir), sys.stdout)


def serve(args: argparse.Namespace) -> None:
    """The embedded server, up to a signal. Raises UsageError where its port cannot be had."""
    from sse_check.origin import endpoints, serving  # here: no check of another server needs it

    quiet_libraries()

    async def until_a_signal() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        async with serving(args.host, args.port) as base:
            put(for_log(endpoints(base)), sys.stdout)
            await stopped.wait()

    try:
        asyncio.run(until_a_signal())
    except OSError as error:
        raise UsageError(f"--port: {args.host}:{args.port} cannot be had: {error.strerror}. Choose another, or 0 for a free one.") from None
