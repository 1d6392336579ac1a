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
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO
from urllib.parse import urlsplit

from sse_check.arguments import load_baseline, load_file, parser, probe_scenario, resolved, url_scenario, variables_of
from sse_check.errors import UsageError
from sse_check.escape import for_log
from sse_check.interruption import Interruption
from sse_check.place import forget_missing_certificates
from sse_check.redaction import Redactor
from sse_check.scenario import Place, Scenario, ScenarioError, Variables, check_url, schema, variables_in

if TYPE_CHECKING:
    from sse_check.baseline import Run as Baseline
    from sse_check.github import Inputs
    from sse_check.pipeline import Checked
    from sse_check.progress import Progress

USAGE: Final = 2
DEFECT: Final = 70

_STATUS: Final = {"viable": 0, "not-viable": 1, "inconclusive": 3}
_FAILS: Final = {"not-viable": {1}, "inconclusive": {1, 3}, "never": set[int]()}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the result is its exit status."""
    secrets: list[str] = []

    def run() -> int:
        args = parser().parse_args(argv)
        secrets.extend(os.environ.get(name, "") for name in getattr(args, "secret_env", ()))
        return _run_command(args)

    return _guarded(run, sys.stderr, secrets)


def action(environ: Mapping[str, str]) -> int:
    """Run as the GitHub Action: inputs from the environment, outputs in every case. Human output goes to stdout."""
    from sse_check import github

    with Interruption() as interruption:
        # First of all: whatever happens from here on, a gate that reads the outputs stays shut.
        github.write_first_outputs(environ)
        secrets = list(github.read_secrets(environ).values())
        github.mask(secrets, sys.stdout)
        return _guarded(lambda: _run_action(environ, interruption), sys.stdout, secrets, annotations=True)


def _guarded(run: Callable[[], int], out: TextIO, secrets: Sequence[str], *, annotations: bool = False) -> int:
    """Errors that can be named become one message and status 2; anything else is a defect, and never "not viable".

    `secrets` are those that are known by the time something goes wrong: the trace of a defect may hold anything.
    """
    # What libraries log can hold a stranger's text; what matters of it reaches the report.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        return run()
    except ScenarioError as error:
        if annotations:
            from sse_check import github

            github.annotate_mistakes(error.mistakes, out)
        print(for_log(str(error)), file=out)
    except UsageError as error:
        if annotations:
            from sse_check import github

            github.annotate("error", str(error), out, title="sse-check")
        print(for_log(f"sse-check: {error}"), file=out)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of stdout has gone; nothing can be told to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return USAGE
    except Exception as error:  # noqa: BLE001  # the boundary: a crash must not look like a verdict
        redact = Redactor(secrets).text
        print(for_log(redact(f"sse-check: a defect of sse-check itself: {type(error).__name__}: {error}")), file=out)
        print(for_log(redact("".join(traceback.format_exception(error)))), file=out)
        return DEFECT
    return USAGE


# --- commands ---------------------------------------------------------------------------------------------------------


def _run_command(args: argparse.Namespace) -> int:
    match args.command:
        case "run":
            variables = variables_of(args)
            scenario, _ = load_file(args.scenario, variables)
            return _check(resolved(scenario, args.resolve), variables.secret_values(), args)
        case "probe":
            return _check(probe_scenario(args), (), args)
        case "judge":
            return _judge(args)
        case "validate":
            return _validate(args)
        case "schema":
            return _schema(args)
        case "demo":
            return _demo(args)
        case _:
            return _serve(args)


def _check(scenario: Scenario, secrets: Sequence[str], args: argparse.Namespace) -> int:
    from sse_check.progress import Progress

    _check_addresses(pushgateway=args.pushgateway, otlp=args.otlp)
    with Interruption() as interruption:
        progress = Progress(sys.stderr, live=sys.stderr.isatty())
        checked = _observed(
            scenario,
            secrets=secrets,
            report_dir=args.report_dir,
            hosts=None,
            progress=progress,
            interruption=interruption,
            baseline=load_baseline(args.baseline) if args.baseline else None,
        )
        _print_result(checked, args)
        for said in _pushed(checked, args.pushgateway, args.otlp, secrets):
            print(for_log(f"sse-check: {said}"), file=sys.stderr)
    return _exit_status(checked, args.fail_on)


def _check_addresses(**given: str | None) -> None:
    """See that metrics can be pushed to these addresses, before anything is sent. The message repeats none: it may hold a password.

    Raises UsageError.
    """
    for name, url in given.items():
        try:
            if url:
                check_url(url)
        except ValueError:
            raise UsageError(
                f"{name}: no address that can be pushed to. Write http://HOST:PORT or https://USER:PASSWORD@HOST, percent-encoded."
            ) from None


def _pushed(checked: "Checked", pushgateway: str | None, otlp: str | None, secrets: Sequence[str]) -> tuple[str, ...]:
    """Push the metrics where that is asked for; a sentence for each push that failed, which changes no verdict."""
    if not (pushgateway or otlp):
        return ()
    from sse_check.monitoring import push  # here: it needs asyncio and the Pushgateway's client, and few runs push

    return push(checked.result, pushgateway=pushgateway, otlp=otlp, environ=os.environ, redactor=Redactor(secrets))


def _observed(
    scenario: Scenario,
    *,
    secrets: Sequence[str],
    report_dir: Path | None,
    hosts: tuple[str, ...] | None,
    progress: "Progress",
    interruption: Interruption,
    baseline: "Baseline | None",
) -> "Checked":
    """Run the check with its progress shown, and write its reports."""
    from sse_check.pipeline import ReportDirError, check, prepare_report_dir, publish
    from sse_check.transport.arrival import Loop

    async def observe() -> "Checked":
        showing = asyncio.ensure_future(progress.show())
        try:
            return await check(scenario, secrets=secrets, hosts=hosts, interruption=interruption, audience=progress, baseline=baseline)
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
            progress.finish()

    try:
        if report_dir is not None:
            prepare_report_dir(report_dir)
        with asyncio.Runner(loop_factory=Loop) as runner:
            checked = runner.run(observe())
        if report_dir is not None:
            publish(checked, report_dir)
    except ReportDirError as error:
        raise UsageError(str(error)) from None
    return checked


def _print_result(checked: "Checked", args: argparse.Namespace) -> None:
    """The result on stdout, and nothing else."""
    from sse_check.progress import show_result
    from sse_check.report import report_json, terminal_text

    if args.format == "json":
        print(report_json(checked.result).decode(), end="")
    else:
        show_result(terminal_text(checked.result, report_dir=str(args.report_dir) if args.report_dir else None), sys.stdout)


def _exit_status(checked: "Checked", fail_on: str | None) -> int:
    if checked.stopped_by is not None:
        return 128 + int(checked.stopped_by)
    if any(service.error for service in checked.result.services):
        # Nothing was asked: a deployment that does not start is the scenario's to mend, whatever verdicts may pass.
        return USAGE
    status = _STATUS[checked.result.verdict]
    return status if fail_on is None or status in _FAILS[fail_on] else 0


def _judge(args: argparse.Namespace) -> int:
    from sse_check.pipeline import ReportDirError, prepare_report_dir, publish, rejudge
    from sse_check.recording import RecordingError

    try:
        scenario = load_file(args.scenario, variables_of(args))[0] if args.scenario else None
        baseline = load_baseline(args.baseline) if args.baseline else None
        checked = rejudge(args.recordings, scenario, baseline=baseline, compare=args.compare)
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
    given = variables_of(args)
    load_file(args.scenario, Variables(values=given.values, secrets=given.secrets, assume=True))
    open_names = [name for name in variables_in(args.scenario.read_bytes()) if name not in given.values]
    needs = f" (needs the variables {', '.join(open_names)})" if open_names else ""
    print(for_log(f"{args.scenario}: valid{needs}"))
    return 0


def _schema(args: argparse.Namespace) -> int:
    if args.of == "scenario":
        print(json.dumps(schema(), indent=2))
    else:
        from sse_check.report import report_schema

        print(json.dumps(report_schema(), indent=2))
    return 0


def _demo(args: argparse.Namespace) -> int:
    from sse_check.demo import demo_scenario, demo_server
    from sse_check.diagnosis import FAULTS

    if args.fault is not None and args.fault not in FAULTS:
        raise UsageError(f'--fault: "{args.fault}" cannot be shown. Known: {", ".join(FAULTS)}.')
    args.report_dir = args.report_dir or Path("sse-check-demo")
    args.fail_on = args.pushgateway = args.otlp = None
    with demo_server(args.fault) as base:
        return _check(demo_scenario(base, args.fault), (), args)


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


# --- the action -------------------------------------------------------------------------------------------------------


def _run_action(environ: Mapping[str, str], interruption: Interruption) -> int:
    from sse_check import github
    from sse_check.progress import Progress
    from sse_check.report import terminal_text

    out = sys.stdout
    inputs = github.read_inputs(environ)
    variables = Variables(values={**inputs.variables, **inputs.secrets}, secrets=frozenset(inputs.secrets))
    places: Mapping[str, Place] = {}
    if inputs.url:
        scenario = url_scenario(inputs.url)
    else:
        path = github.inside_workspace(inputs.workspace, inputs.scenario, "scenario")
        with contextlib.chdir(inputs.workspace):  # so that messages and annotations name the file as the repository does
            scenario, places = load_file(path.relative_to(inputs.workspace), variables, inside=inputs.workspace)
    if scenario.services and not inputs.containers:
        raise UsageError(
            "containers: the scenario starts containers (services), which needs the runner's Docker socket: whoever writes the scenario is "
            "then root on the runner. If its authors are trusted with that, set the input: containers: true."
        )
    hosts = _allowed_hosts(scenario, inputs.allow_hosts)
    report_dir = github.inside_workspace(inputs.workspace, inputs.report_dir, "report-dir")
    baseline = _baseline_of(inputs, out)
    _check_addresses(SSE_CHECK_PUSHGATEWAY=inputs.pushgateway, SSE_CHECK_OTLP=inputs.otlp)

    for setting in forget_missing_certificates():
        github.annotate(
            "notice", f"{setting} is not in this container; its own certificates are used. Another authority: target.tls.ca.", out
        )
    progress = Progress(out, live=False, begin=lambda title: github.begin_group(title, out), end=lambda: github.end_group(out))
    try:
        with contextlib.chdir(inputs.workspace):
            secrets = variables.secret_values()
            checked = _observed(
                scenario,
                secrets=secrets,
                report_dir=report_dir,
                hosts=hosts,
                progress=progress,
                interruption=interruption,
                baseline=baseline,
            )
        # The outputs first, and then what only people read: an interrupted step has seconds.
        github.write_outputs(inputs.output_file, github.outputs(checked.result, inputs.report_dir))
        github.append_summary(inputs.summary_file, checked.report)
    finally:
        github.hand_over(report_dir, inputs.workspace)
    github.show_logs(checked.result, out)
    print(terminal_text(checked.result, report_dir=inputs.report_dir), file=out, flush=True)
    if inputs.debug:
        github.debug_result(checked.result, out)
    github.annotate_result(checked.result, out, places)
    for said in _pushed(checked, inputs.pushgateway, inputs.otlp, secrets):
        github.annotate("warning", said, out, title="sse-check")
    return _exit_status(checked, inputs.fail_on)


def _baseline_of(inputs: "Inputs", out: TextIO) -> "Baseline | None":
    """The earlier run of the input, if there is one: a scheduled run's first has none, and should leave one all the same."""
    from sse_check import github

    if not inputs.baseline:
        return None
    path = github.inside_workspace(inputs.workspace, inputs.baseline, "baseline")
    if not path.exists():
        github.annotate("notice", f"baseline: {inputs.baseline} is not there; nothing is compared.", out, title="sse-check")
        return None
    return load_baseline(path)


def _allowed_hosts(scenario: Scenario, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The hosts that may be reached: those of the patterns, else of the scenario's own URLs. Raises UsageError where one is not."""
    from sse_check.probe import host_allowed

    urls = [scenario.url_of(probe) for probe in scenario.probes]
    urls += [scenario.fallback_url(option) for fallback in scenario.fallbacks if (option := fallback.websocket or fallback.batch)]
    urls += [probe.compare.direct for probe in scenario.probes if probe.compare]
    if scenario.target.url is not None and (
        scenario.target.health or any(probe.limits and probe.limits.paths for probe in scenario.probes)
    ):
        urls.append(scenario.target.url)
    # The scenario's services are reached in a network of the run's own, and need no pattern.
    urls = [url for url in urls if urlsplit(url).hostname not in scenario.services]
    if not patterns:
        return tuple(dict.fromkeys((*(urlsplit(url).hostname or "" for url in (*urls, scenario.base_url)), *scenario.services)))
    for url in urls:
        if not host_allowed(url, patterns):
            raise UsageError(f'allow-hosts: the scenario asks "{urlsplit(url).hostname}", which no pattern allows. Add a line for it.')
    for host, addresses in scenario.target.resolve.items():
        # A name that is allowed must not lead elsewhere: the target's headers go with it.
        for address in (part.strip() for part in addresses.split(",")):
            port = host.partition(":")[2] or "443"
            if not host_allowed(f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}", patterns):
                raise UsageError(f'allow-hosts: target.resolve leads "{host}" to {address}, which no pattern allows. Add a line for it.')
    return (*patterns, *scenario.services)
