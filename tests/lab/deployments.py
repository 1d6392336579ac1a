"""Puts a case on its feet - origin, proxy - and lets sse-check look at it."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.cases import Case
from tests.lab.proxies import dead_origin, quiet_origin, running
from tests.support.process import sse_check, sse_check_in_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What sse-check said of a deployment when it ran, and when it judged its own recording again."""

    status: int
    report: dict[str, Any]
    judged_status: int
    judged_report: dict[str, Any]
    stderr: str

    @property
    def account(self) -> str:
        """For the reader of a failed test: the findings, and all that sse-check wrote."""
        return f"{json.dumps(self.report['findings'], indent=1)}\n{self.stderr}"

    @property
    def measure_again(self) -> bool:
        """Whether the machine was too late to judge: what a user is told to do then, a test does once."""
        return bool(self.report["recommendation"] == "MEASURE AGAIN")

    @property
    def errors(self) -> list[str]:
        """The codes that fail the verdict, in their order."""
        return [finding["code"] for finding in self.report["findings"] if finding["severity"] == "error"]

    @property
    def warnings(self) -> list[str]:
        """The codes that do not."""
        return [finding["code"] for finding in self.report["findings"] if finding["severity"] == "warning"]

    @property
    def said(self) -> str:
        """One word for the matrix: the first error's code, else a redirect's warning, else what the verdict comes to."""
        if self.errors:
            return str(self.errors[0])
        if "redirected" in self.warnings:
            return "redirected"
        return "healthy" if self.report["verdict"] == "viable" else str(self.report["verdict"])


@contextmanager
def deployed(case: Case, embedded: str) -> Iterator[str]:
    """The case's proxy in front of its origin while the context lasts; gives the base URL that a user would ask."""
    with origin_of(case, embedded) as origin:
        if case.proxy is None:
            yield f"http://{origin}"
            return
        with running(case.proxy, case.config, origin) as base:
            prime(case, base)
            yield base


@contextmanager
def origin_of(case: Case, embedded: str) -> Iterator[str]:
    """What stands behind the case's proxy, as host:port; without a proxy nothing listens there."""
    with ExitStack() as stack:
        if case.origin == "quiet":
            yield stack.enter_context(quiet_origin())
        elif case.origin == "dead" or case.proxy is None:
            yield stack.enter_context(dead_origin())
        else:
            yield embedded.removeprefix("http://")


def prime(case: Case, base: str) -> None:
    """Read the stream once, where the case wants it to have been read before."""
    if case.primed:
        with urllib.request.urlopen(base + case.stream, timeout=30) as response:
            response.read()


def observe(case: Case, embedded: str, directory: Path) -> Outcome:
    """`sse-check run` on the case, and `judge` on its recording."""
    directory.mkdir()
    scenario = directory / "scenario.yml"
    with deployed(case, embedded) as base:
        scenario.write_text(json.dumps(case.scenario(base)))  # JSON is YAML
        ran = sse_check_in_time("run", scenario, "--report-dir", directory / "run")
    judged = sse_check("judge", directory / "run/recording.ndjson", "--report-dir", directory / "judge")
    return Outcome(
        status=ran.returncode,
        report=_report(ran, directory / "run"),
        judged_status=judged.returncode,
        judged_report=_report(judged, directory / "judge"),
        stderr=ran.stderr + judged.stderr,
    )


def _report(done: "subprocess.CompletedProcess[str]", directory: Path) -> dict[str, Any]:
    path = directory / "report.json"
    assert path.exists(), done.stderr
    report: dict[str, Any] = json.loads(path.read_text())
    return report
