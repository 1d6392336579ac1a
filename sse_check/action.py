"""The GitHub Action: inputs from the environment, a check, and its result where GitHub shows it."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from sse_check import github
from sse_check.baseline import Run as Baseline
from sse_check.checking import check_addresses, observed, pushed, unwritten
from sse_check.errors import UsageError
from sse_check.escape import put
from sse_check.hosts import exactly, host_allowed, host_in
from sse_check.interruption import Interruption
from sse_check.pipeline import Checked
from sse_check.place import forget_missing_certificates
from sse_check.progress import Progress
from sse_check.report import terminal_text
from sse_check.reportdir import REPORT
from sse_check.scenario import Place, Scenario, Variables
from sse_check.shards import read_part
from sse_check.sources import load_baseline, load_file, url_scenario


def run_action(environ: Mapping[str, str], interruption: Interruption, out: TextIO) -> tuple[Checked, str]:
    """The check that the inputs ask for, told to GitHub; and which verdicts are to fail the step (the input `fail-on`).

    Raises UsageError and ScenarioError where an input or the scenario is wrong, before anything is sent.
    """
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
    hosts = allowed_hosts(scenario, inputs.allow_hosts)
    report_dir = github.inside_workspace(inputs.workspace, inputs.report_dir, "report-dir")
    baseline = _baseline_of(inputs, out)
    check_addresses(SSE_CHECK_PUSHGATEWAY=inputs.pushgateway, SSE_CHECK_OTLP=inputs.otlp)
    part = read_part(inputs.shard, inputs.start_at, environ, names=("SSE_CHECK_SHARD", "SSE_CHECK_START_AT"))

    for setting in forget_missing_certificates():
        github.annotate(
            "notice", f"{setting} is not in this container; its own certificates are used. Another authority: target.tls.ca.", out
        )
    progress = Progress(out, live=False, begin=lambda title: github.begin_group(title, out), end=lambda: github.end_group(out))
    try:
        with _in(inputs.workspace):
            secrets = variables.secret_values()
            checked = observed(
                scenario,
                secrets=secrets,
                report_dir=report_dir,
                hosts=hosts,
                progress=progress,
                interruption=interruption,
                baseline=baseline,
                part=part,
            )
        # The outputs first, and then what only people read: an interrupted step has seconds.
        lost = [name for names in checked.unwritten.values() for name in names]
        untold = [
            github.write_outputs(inputs.output_file, github.outputs(checked.result, inputs.report_dir, report=REPORT not in lost)),
            github.append_summary(inputs.summary_file, checked.report),
        ]
    finally:
        github.hand_over(report_dir, inputs.workspace)
    github.show_logs(checked.result, out)
    put(terminal_text(checked.result, report_dir=None if lost else inputs.report_dir), out)
    if inputs.debug:
        github.debug_result(checked.result, out)
    github.annotate_result(checked.result, out, places)
    for said in (*filter(None, untold), *unwritten(checked, inputs.report_dir), *pushed(checked, inputs.pushgateway, inputs.otlp, secrets)):
        github.annotate("warning", said, out, title="sse-check")
    return checked, inputs.fail_on


@contextlib.contextmanager
def _in(workspace: Path) -> Iterator[None]:
    """Work in the workspace, by whose paths a scenario names files; it may be gone when the run is over."""
    before = Path.cwd()
    os.chdir(workspace)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.chdir(before)


def _baseline_of(inputs: github.Inputs, out: TextIO) -> Baseline | None:
    """The earlier run of the input, if there is one: a scheduled run's first has none, and should leave one all the same."""
    if not inputs.baseline:
        return None
    path = github.inside_workspace(inputs.workspace, inputs.baseline, "baseline")
    if not path.exists():
        github.annotate("notice", f"baseline: {inputs.baseline} is not there; nothing is compared.", out, title="sse-check")
        return None
    return load_baseline(path)


def allowed_hosts(scenario: Scenario, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns of the hosts that may be reached: those given, else of the scenario's own URLs. Raises UsageError where one is not."""
    urls = [scenario.url_of(probe) for probe in scenario.probes]
    urls += [scenario.fallback_url(option) for fallback in scenario.fallbacks if (option := fallback.websocket or fallback.batch)]
    urls += [probe.compare.direct for probe in scenario.probes if probe.compare]
    if scenario.target.url is not None and (
        scenario.target.health or any(probe.limits and probe.limits.paths for probe in scenario.probes)
    ):
        urls.append(scenario.target.url)
    # The scenario's services are reached in a network of the run's own, and need no pattern.
    urls = [url for url in urls if host_in(url) not in scenario.services]
    if not patterns:
        return tuple(dict.fromkeys((*map(exactly, (*urls, scenario.base_url)), *scenario.services)))
    for url in urls:
        if not host_allowed(url, patterns):
            raise UsageError(f'allow-hosts: the scenario asks "{host_in(url)}", which no pattern allows. Add a line for it.')
    for host, addresses in scenario.target.resolve.items():
        # A name that is allowed must not lead elsewhere: the target's headers go with it.
        for address in (part.strip() for part in addresses.split(",")):
            port = host.partition(":")[2] or "443"
            if not host_allowed(f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}", patterns):
                raise UsageError(f'allow-hosts: target.resolve leads "{host}" to {address}, which no pattern allows. Add a line for it.')
    return (*patterns, *scenario.services)
