"""A check from its scenario to its reports, with its progress shown: what the command line and the action share."""

import asyncio
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from sse_check.baseline import Run as Baseline
from sse_check.errors import UsageError
from sse_check.escape import log_lines, put
from sse_check.interruption import Interruption
from sse_check.pipeline import Checked, check, publish
from sse_check.progress import Progress
from sse_check.redaction import Redactor
from sse_check.reportdir import RECORDING, ReportDir
from sse_check.scenario import Scenario, check_url
from sse_check.shards import Part


def quiet_libraries() -> None:
    """Have nothing said beside ours: what libraries log, and what Python says of errors that nobody waits for, can hold a stranger's text.

    What matters of it reaches the report; of such an error its type is told.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
    sys.unraisablehook = threading.excepthook = _tell_of_stray_error


def _tell_of_stray_error(stray: "sys.UnraisableHookArgs | threading.ExceptHookArgs", /) -> None:
    put(log_lines([f"sse-check: an error beside the run: {stray.exc_type.__name__}"]), sys.stderr)


def check_addresses(**given: str | None) -> None:
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


def pushed(checked: Checked, pushgateway: str | None, otlp: str | None, secrets: Sequence[str]) -> tuple[str, ...]:
    """Push the metrics where that is asked for; a sentence for each push that failed, which changes no verdict."""
    if not (pushgateway or otlp):
        return ()
    from sse_check.monitoring import push  # here: it needs the Pushgateway's client, and few runs push

    return push(checked.result, pushgateway=pushgateway, otlp=otlp, environ=os.environ, redactor=Redactor(secrets))


def observed(
    scenario: Scenario,
    *,
    secrets: Sequence[str],
    report_dir: Path | None,
    hosts: tuple[str, ...] | None,
    progress: Progress,
    interruption: Interruption,
    baseline: Baseline | None,
    part: Part,
) -> Checked:
    """Run the check with its progress shown, and write its reports. Raises UsageError, before anything is sent.

    Where reports cannot be written at the end, the result says so (`unwritten`), and is what it is.
    """
    quiet_libraries()

    # Here, as what is judged only needs neither: the embedded server, and the connections.
    from sse_check.calibration import calibrate
    from sse_check.transport.arrival import Loop

    async def observe(directory: ReportDir | None) -> Checked:
        showing = asyncio.ensure_future(progress.show())
        try:
            return await check(
                scenario,
                secrets=secrets,
                hosts=hosts,
                interruption=interruption,
                audience=progress,
                baseline=baseline,
                calibrate=calibrate,
                part=part,
                directory=directory,
            )
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
            progress.finish()

    with nullcontext() if report_dir is None else ReportDir(report_dir) as directory, _pointing_at(directory):
        with asyncio.Runner(loop_factory=Loop) as runner:
            checked = runner.run(observe(directory))
        return checked if directory is None else replace(checked, unwritten=publish(checked, directory))


def unwritten(checked: Checked, report_dir: Path | str | None) -> tuple[str, ...]:
    """A sentence for each reason why files of the report directory could not be written."""
    said = [f"{report_dir}: {', '.join(names)} could not be written: {why}." for why, names in checked.unwritten.items()]
    lost = [name for names in checked.unwritten.values() for name in names]
    if RECORDING in lost and (Path(report_dir or "") / RECORDING).is_file():
        said.append(f"{report_dir}/{RECORDING} holds what was written while the run lasted: sse-check judge reads it.")
    return tuple(said)


@contextmanager
def _pointing_at(directory: ReportDir | None) -> Iterator[None]:
    """Whatever ends the program within the context says where to find what was measured until then."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        if directory is not None and directory.ours:
            error.add_note(f"What was measured until then is kept: sse-check judge {directory.path / RECORDING}")
        raise
