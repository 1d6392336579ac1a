"""Real proxies in front of the embedded server: what each configuration does to a stream is said, and its cure cures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cases import CASES, CURED, Case
from tests.lab.deployments import Outcome
from tests.lab.proxies import LAB, NGINX, NODE_MODULES, PROXIES, Config, running
from tests.support.process import sse_check, sse_check_in_time

pytestmark = pytest.mark.lab

OutcomeOf = Callable[[Case], Outcome]

HEALTHY = [case for case in CASES if case.label is None]
FAULTY = [case for case in CASES if case.label is not None and case.severity == "error"]
WARNED = [case for case in CASES if case.severity == "warning"]


def named(case: Case) -> str:
    """How pytest calls a case."""
    return case.name


def agree(outcome: Outcome) -> bool:
    """Whether `judge` says of the recording what `run` said of the deployment."""
    return (outcome.status, outcome.report) == (outcome.judged_status, outcome.judged_report)


@pytest.mark.parametrize("proxy", PROXIES, ids=lambda proxy: proxy.name)
def test_every_proxy_is_there(proxy):
    """
    A proxy that is not installed is a failure of the lab, and the message says what installs it.
    """
    assert Path(proxy.find()).exists()
    assert NODE_MODULES.is_dir(), f"{LAB.name} is incomplete: run .ci/install-lab"


@pytest.mark.parametrize("proxy", PROXIES, ids=lambda proxy: proxy.name)
def test_every_proxy_shows_both_answers(proxy):
    """
    Each proxy is there in a configuration that streams and in one that does not.
    """
    assert {case.label is None for case in CASES if case.proxy is proxy} == {True, False}


@pytest.mark.parametrize("case", HEALTHY, ids=named)
def test_a_deployment_that_streams_is_viable(case: Case, outcome_of: OutcomeOf):
    """
    Whatever its configuration looks like: a proxy that passes the stream on is viable, without an error.
    """
    outcome = outcome_of(case)
    assert (outcome.status, outcome.report["verdict"], outcome.errors) == (0, "viable", []), outcome.account
    assert agree(outcome), outcome.account


@pytest.mark.parametrize("case", FAULTY, ids=named)
def test_a_fault_is_found_and_named(case: Case, outcome_of: OutcomeOf):
    """
    A proxy that holds back, cuts or refuses the stream is not viable, and the first error is what it really does.
    """
    outcome = outcome_of(case)
    assert (outcome.said, outcome.report["verdict"], outcome.status) == (case.label, "not-viable", 1), outcome.account
    assert agree(outcome), outcome.account


@pytest.mark.parametrize("case", WARNED, ids=named)
def test_a_redirect_is_warned_of(case: Case, outcome_of: OutcomeOf):
    """
    A stream that is answered only after a redirect is viable, with a warning.
    """
    outcome = outcome_of(case)
    assert (outcome.status, outcome.report["verdict"], outcome.errors) == (0, "viable", []), outcome.account
    assert case.label in outcome.warnings
    assert agree(outcome), outcome.account


@pytest.mark.parametrize("case", CURED, ids=named)
def test_the_cure_cures(case: Case, outcome_of: OutcomeOf):
    """
    With its setting mended the same proxy is viable for the same stream.
    """
    outcome = outcome_of(case)
    assert (outcome.status, outcome.report["verdict"], outcome.errors) == (0, "viable", []), outcome.account
    assert agree(outcome), outcome.account


# --- what the findings say of nginx -----------------------------------------------------------------------------------

STREAM = "/events?count=10&every=300ms"


def probe(config: Config, stream: str, server: str, directory: Path) -> tuple[int, dict[str, Any]]:
    """`sse-check probe` through nginx and, on its recording, `judge`: which must say the same."""
    with running(NGINX, config, server.removeprefix("http://")) as base:
        done = sse_check_in_time("probe", base + stream, "--report-dir", directory / "run")
    again = sse_check("judge", directory / "run/recording.ndjson", "--report-dir", directory / "judge")
    assert done.returncode == again.returncode, done.stderr + again.stderr
    assert (directory / "run/report.json").read_bytes() == (directory / "judge/report.json").read_bytes()
    return done.returncode, json.loads((directory / "run/report.json").read_text())


def test_nginx_by_default_holds_the_whole_response_back(server, tmp_path):
    """
    `proxy_pass` alone: not viable, `buffered-full`, certain, with the directive that cures it.
    """
    status, report = probe({}, STREAM, server, tmp_path)
    assert (status, report["verdict"], report["streaming_enabled"]) == (1, "not-viable", False)
    first = report["findings"][0]
    assert (first["code"], first["confidence"]) == ("buffered-full", "certain")
    assert any("proxy_buffering off;" in fix["text"] for fix in first["fixes"])
    assert report["summary"]["proxy_buffering"] is True


@pytest.mark.parametrize("cure", ["proxy_buffering off;", "proxy_buffering off; proxy_http_version 1.1;"])
def test_the_named_directives_cure_nginx(server, tmp_path, cure):
    """
    With the directives that the finding names the same stream is viable, without a finding.
    """
    status, report = probe({"location": cure}, STREAM, server, tmp_path)
    assert (status, report["verdict"], report["findings"]) == (0, "viable", [])


def test_a_cut_by_nginx_tells_its_limit(server, tmp_path):
    """
    nginx gives a silent upstream up after `proxy_read_timeout`: the stream is broken off, and the report says after how long.
    """
    config = {"location": "proxy_buffering off; proxy_http_version 1.1; proxy_read_timeout 2s;"}
    status, report = probe(config, "/events?count=4&fault=stalled&every=100ms", server, tmp_path)
    first = report["findings"][0]
    assert (status, first["code"]) == (1, "idle-timeout")
    assert first["evidence"]["idle_timeout"] == pytest.approx(2.0, abs=0.5)
