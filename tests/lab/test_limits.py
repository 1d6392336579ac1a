"""Limits of real proxies: each is measured as it is set, idle and total are never confused, and none is invented."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.limits import CASES, LimitCase, Measured, deployed, measure, right
from tests.lab.proxies import NGINX
from tests.support.process import sse_check_in_time

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def measured(server: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[LimitCase], Measured]:
    """What came out of a case, which is measured once; again where a busy machine may have kept streams from their times."""
    directory = tmp_path_factory.mktemp("limits")
    results: dict[str, Measured] = {}

    def result(case: LimitCase) -> Measured:
        for attempt in range(2 if case.name not in results else 0):
            found = results[case.name] = measure(case, server, directory / f"{case.name} {attempt}")
            if right(case.idle, found.seconds("target", "idle")) and right(case.total, found.seconds("target", "total")):
                break
        return results[case.name]

    return result


def named(case: LimitCase) -> str:
    """How pytest calls a case."""
    return case.name


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_limit_is_measured_as_it_is_set(case: LimitCase, measured: Callable[[LimitCase], Measured]):
    """
    Within a tenth or half a second, each as what it is; one that is not there is "not reached", and never a guess.
    """
    result = measured(case)
    found = {kind: result.seconds("target", kind) for kind in ("idle", "total")}
    assert right(case.idle, found["idle"]), result.stderr
    assert right(case.total, found["total"]), result.stderr
    assert result.limits("target")["undecided"] is None
    codes = {finding["code"] for finding in result.report["findings"]}
    assert codes == {code for code, limit in (("idle-timeout", case.idle), ("duration-limit", case.total)) if limit is not None}


@pytest.mark.parametrize("case", [case for case in CASES if case.behind], ids=named)
def test_the_ceiling_behind_the_first_is_found_on_the_way_past_it(case: LimitCase, measured: Callable[[LimitCase], Measured]):
    """
    Who raises the first limit meets the second: it is measured where the scenario names the way past the first proxy.
    """
    assert case.behind is not None
    result = measured(case)
    for kind, true in zip(("idle", "total"), case.behind, strict=True):
        assert right(true, result.seconds("direct", kind)), result.stderr


@pytest.mark.parametrize("case", [case for case in CASES if case.idle], ids=named)
def test_the_heartbeat_that_is_recommended_keeps_a_stream_open(case: LimitCase, measured: Callable[[LimitCase], Measured]):
    """
    It is shorter than the limit on silence, and where the streams with one were cut, it was for their age.
    """
    assert case.idle is not None
    result = measured(case)
    finding = next(finding for finding in result.report["findings"] if finding["code"] == "idle-timeout")
    assert 0 < finding["evidence"]["heartbeat_interval"] <= case.idle / 2 + 0.1
    if case.total is None:
        assert result.limits("target")["heartbeat"]["every"] >= 1.0


def test_the_smallest_heartbeat_that_gets_through_a_buffer_is_measured(server: str, tmp_path: Path):
    """
    nginx holds 4 KiB of an HTTP/1.0 upstream back: smaller heartbeats do not come through when they are sent.
    """
    scenario = tmp_path / "scenario.yml"
    with deployed([(NGINX, {})], server) as (base,):
        scenario.write_text(
            f"version: 1\ntarget: {{url: '{base}'}}\n"
            "probes: [{name: stream, path: '/events?count=4&every=200ms', limits: {until: 4s}}]\n"
        )
        done = sse_check_in_time("run", scenario, "--format", "json")

    report = json.loads(done.stdout)
    heartbeat = report["limits"][0]["heartbeat"]
    assert 1024 <= heartbeat["swallowed"] < heartbeat["passed"] <= 4096 + 512
    finding = next(finding for finding in report["findings"] if finding["code"] == "no-heartbeat")
    assert "4,096 bytes" in finding["fixes"][0]["text"]
