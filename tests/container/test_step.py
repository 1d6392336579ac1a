"""The action as a step of a job: built, run and cancelled as GitHub's runner does it, and read as the next step reads it."""

import json

import pytest

from tests.support.container import container, network

SCENARIO = """\
version: 1
name: In a container
target: {url: "${BASE_URL}"}
probes:
  - {name: one, path: "/events?count=5&every=100ms", until: {event: complete}}
  - {name: three, path: "/events?count=5&every=100ms", until: {event: complete}, streams: 3}
"""


def test_a_viable_deployment_opens_the_gate(runner, origin):
    """
    The outputs are read by the next step, the summary is there, and the files are the workspace's owner's.
    """
    runner.write(".github/sse-check.yml", SCENARIO)
    done = runner.step({"variables": f"BASE_URL={origin}"})
    assert done.status == 0, done.log
    assert (done.outputs["streaming_enabled"], done.outputs["verdict"], done.outputs["concurrent_success"]) == ("true", "viable", "3/3")
    assert done.summary.startswith("### ✅")
    assert done.annotations == []
    written = list((runner.workspace / "sse-check-report").rglob("*"))
    assert {path.name for path in written} == {
        "recording.ndjson",
        "report.json",
        "summary.md",
        "report.html",
        "junit.xml",
        "metrics.prom",
    }
    assert {path.stat().st_uid for path in (*written, runner.workspace / "sse-check-report")} == {runner.user}
    assert (runner.workspace / done.outputs["report"]).is_file()
    assert not list((runner.directory / "temp/_github_home").iterdir())


@pytest.mark.parametrize(("fail_on", "status"), [("not-viable", 1), ("inconclusive", 1), ("never", 0)])
def test_a_fault_fails_the_step_as_the_workflow_wants_it(runner, origin, fail_on, status):
    """
    The outputs say what was found whether or not the step fails.
    """
    done = runner.step({"url": f"{origin}/events?count=5&every=150ms&fault=buffered-full", "fail-on": fail_on})
    assert done.status == status, done.log
    assert (done.outputs["streaming_enabled"], done.outputs["verdict"], done.outputs["codes"]) == ("false", "not-viable", "buffered-full")
    assert "proxy_buffering off;" in done.summary
    assert {level for level, _ in done.annotations} == {"error"}


@pytest.mark.parametrize(("fail_on", "status"), [("not-viable", 0), ("inconclusive", 3), ("never", 0)])
def test_an_inconclusive_run_fails_the_step_only_if_the_workflow_says_so(runner, origin, fail_on, status):
    """
    A budget that is over before the stream is: nothing is known, and the gate is shut.
    """
    scenario = SCENARIO.replace("count=5", "count=100") + "budget: 1s\n"
    runner.write(".github/sse-check.yml", scenario)
    done = runner.step({"variables": f"BASE_URL={origin}", "fail-on": fail_on})
    assert done.status == status, done.log
    assert (done.outputs["streaming_enabled"], done.outputs["verdict"]) == ("false", "inconclusive")


def test_a_bad_scenario_fails_the_step_on_its_line(runner):
    """
    Every mistake is an annotation on its own line; the outputs are there, and the gate is shut.
    """
    runner.write(".github/sse-check.yml", "version: 1\nprobs: []\n")
    done = runner.step()
    assert done.status == 2, done.log
    assert "file=.github/sse-check.yml,line=2,col=1" in done.log
    assert (done.outputs["streaming_enabled"], done.outputs["verdict"]) == ("false", "inconclusive")


def test_a_cancelled_run_reports_what_it_has(runner, origin):
    """
    SIGINT half way: outputs, summary and reports of what was measured within 7 s, and no second signal was needed.
    """
    # Two probes: the first is over when its line is shown, the second is going on.
    scenario = SCENARIO.replace('three, path: "/events?count=5', 'three, path: "/events?count=500')
    runner.write(".github/sse-check.yml", scenario)
    done = runner.step({"variables": f"BASE_URL={origin}"}, cancel_at="one: status 200")
    assert (done.status, done.signals, done.left_running) == (130, ["SIGINT"], False), done.log
    assert done.seconds_after_cancel < 7
    assert (done.outputs["streaming_enabled"], done.outputs["verdict"]) == ("false", "inconclusive")
    report = json.loads((runner.workspace / done.outputs["report"]).read_text())
    assert report["interrupted"] == "SIGINT"
    assert [stream["total_events"] for stream in report["test_results"] if stream["probe"] == "one"] == [6]
    assert "The run was not completed" in done.summary


def test_the_jobs_python_does_not_reach_in(runner, origin):
    """
    What earlier steps exported for a Python of their own is without effect.
    """
    runner.write("json.py", "raise SystemExit('the wrong module')")
    env = {
        "PYTHONPATH": "/github/workspace",
        "PYTHONHOME": "/nonsense",
        "PYTHONSTARTUP": "x",
        "PATH": "/opt/hostedtoolcache",
        "LD_LIBRARY_PATH": "/x",
    }
    done = runner.step({"url": f"{origin}/events?count=3&every=50ms"}, env=env)
    assert done.status == 0, done.log


def test_a_service_of_the_job_is_reached_by_its_name(runner, image):
    """
    In a job with `services:` the action is on the job's network.
    """
    with (
        network("github_network_tests") as name,
        container(image, "serve", "--host", "0.0.0.0", "--port", "8080", network=name, options=("--network-alias", "app")),
    ):
        done = runner.step({"url": "http://app:8080/events?count=3&every=50ms"}, network=name)
    assert done.status == 0, done.log


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "0.0.0.0"])
def test_localhost_in_an_action_is_explained(runner, host):
    """
    Nothing listens on a container's own localhost: the finding says what works instead, with the address of this machine.
    """
    done = runner.step({"url": f"http://{host}:3000/events"})
    assert (done.status, done.outputs["codes"]) == (1, "refused"), done.log
    for cure in (
        "services:",
        "http://app:3000",
        "http://172.17.0.1:3000",
        "0.0.0.0:3000",
        "org/sse-check/composite@v1",
        "containers: true",
    ):
        assert cure in done.summary, done.summary


def test_a_server_on_the_machines_localhost_only_is_explained(runner):
    """
    The bridge's address is right, and still nothing answers: the server must listen on it.
    """
    done = runner.step({"url": "http://172.17.0.1:3999/events"})
    assert done.outputs["codes"] == "refused"
    assert "0.0.0.0:3999" in done.summary


def test_debug_logging_shows_each_stream(runner, origin):
    """
    With step debugging on, the phases of every stream are in the log, and only then.
    """
    given = {"url": f"{origin}/events?count=3&every=50ms"}
    assert "::debug::alone #1" in runner.step(given, env={"RUNNER_DEBUG": "1"}).log
    assert "::debug::" not in runner.step(given).log
