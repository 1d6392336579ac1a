"""The action's door: what the runner hands in, and what the next step and the job summary read."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sse_check import github
from sse_check.report import Report, Result, build_result
from sse_check.verdict import judge
from tests.support.process import ROOT
from tests.support.runner import commands_in, read_outputs
from tests.support.streams import answer, probe, recording, scenario, stream

SECRET = "hunter2/hunter2+äöü"

SCENARIO = """\
version: 1
name: Action
target:
  url: ${BASE_URL}
  headers: {X-API-Key: "${API_KEY}"}
probes:
  - {name: one, path: "/events?count=3&every=50ms", until: {event: complete}}
  - {name: three, path: "/events?count=3&every=50ms", until: {event: complete}, streams: 3}
"""


class Step:
    """One step of a job: a workspace, the runner's files, and what the action did with them."""

    def __init__(self, directory: Path) -> None:
        self.workspace = directory / "workspace"
        (self.workspace / ".github").mkdir(parents=True)
        self.output_file, self.summary_file = directory / "output", directory / "summary"
        self.output_file.touch()
        self.summary_file.touch()
        self.status, self.log, self.errors = -1, "", ""

    def run(self, **inputs: str) -> "Step":
        """Run the entry point as the runner does; input names have their hyphens written as two underscores."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "INPUT_"))}
        env |= {
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_OUTPUT": str(self.output_file),
            "GITHUB_STEP_SUMMARY": str(self.summary_file),
        }
        # The runner sets every declared input: to its default where the workflow says nothing.
        declared = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
        env |= {f"INPUT_{name.upper()}": spec.get("default", "") for name, spec in declared.items()}
        env |= {f"INPUT_{name.replace('__', '-').upper()}": value for name, value in inputs.items()}
        done = subprocess.run(
            [sys.executable, str(ROOT / "entrypoint.py")], cwd=self.workspace, env={**env, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60, check=False
        )  # fmt: skip
        self.status, self.log, self.errors = done.returncode, done.stdout.decode(), done.stderr.decode()
        return self

    @property
    def outputs(self) -> dict[str, str]:
        """What the next step reads."""
        return read_outputs(self.output_file.read_text())

    def annotations(self) -> list[tuple[str, str]]:
        """The errors and warnings that the runner would show."""
        return [(name, rest) for name, rest in commands_in(self.log) if name in ("error", "warning", "notice")]


@pytest.fixture
def step(tmp_path) -> Step:
    """A step whose workspace holds the scenario at its default place."""
    step = Step(tmp_path)
    (step.workspace / ".github/sse-check.yml").write_text(SCENARIO)
    return step


def test_a_viable_deployment_opens_the_gate(step, server):
    """
    Outputs, summary and reports are written; nothing is annotated; the step succeeds.
    """
    step.run(variables=f"BASE_URL={server}", secrets=f"API_KEY={SECRET}")
    assert step.status == 0, step.log + step.errors
    assert step.outputs == {
        "streaming_enabled": "true",
        "verdict": "viable",
        "recommendation": "PROCEED with SSE",
        "success_rate": "100",
        "codes": "",
        "first_event_time": step.outputs["first_event_time"],
        "concurrent_success": "3/3",
        "idle_timeout": "",
        "max_duration": "",
        "fallback": "none",
        "report": "sse-check-report/report.json",
        "report-dir": "sse-check-report",
    }
    assert 0 < float(step.outputs["first_event_time"]) < 2
    assert step.summary_file.read_text().startswith("### ✅ SSE streams through this deployment\n")
    assert (step.workspace / step.outputs["report"]).is_file()
    assert step.annotations() == []
    assert step.errors == ""


@pytest.mark.parametrize("inputs", [{"report__dir": "a\udcff"}, {"variables": "NAME=\udcff"}, {"url": "http://app.example.test/\udcff"}])
def test_an_input_that_is_no_text_is_refused(step, inputs):
    """
    Bytes that are no UTF-8 end with status 2 and a sentence, and the gate stays shut.
    """
    step.run(**inputs)
    assert step.status == 2, step.log + step.errors
    assert "it holds bytes that are no UTF-8" in step.log
    assert step.outputs["streaming_enabled"] == "false"
    assert step.errors == ""


def test_a_fault_shuts_the_gate_and_is_annotated(step, server):
    """
    A fault fails the step, is named in the outputs, annotated, and in the summary with its cure.
    """
    step.run(url=f"{server}/events?count=5&every=150ms&fault=buffered-full")
    assert step.status == 1
    assert (step.outputs["streaming_enabled"], step.outputs["verdict"], step.outputs["codes"]) == ("false", "not-viable", "buffered-full")
    assert [name for name, _ in step.annotations()] == ["error", "error"]
    summary = step.summary_file.read_text()
    assert "proxy_buffering off;" in summary
    assert summary == (step.workspace / "sse-check-report/summary.md").read_text() + "\n"


def test_a_measured_limit_is_an_output(step, server):
    """
    The seconds after which a silent stream was cut are an output of their own.
    """
    step.run(url=f"{server}/events?count=10&every=100ms&fault=idle-timeout&after=1s")
    assert step.outputs["codes"].split(",")[0] == "idle-timeout"
    assert float(step.outputs["idle_timeout"]) == pytest.approx(1.0, abs=0.3)
    assert step.outputs["max_duration"] == ""


def test_never_failing_still_tells(step, server):
    """
    With `fail-on: never` the step succeeds and the outputs say not viable.
    """
    step.run(url=f"{server}/events?fault=http-error", fail__on="never")
    assert (step.status, step.outputs["streaming_enabled"], step.outputs["codes"]) == (0, "false", "http-error")


def test_the_secret_is_masked_first_and_is_nowhere(step, server):
    """
    The mask comes before anything else in the log; afterwards the secret is in no line, no output, no file, in no form.
    """
    step.run(variables=f"BASE_URL={server}", secrets=f"API_KEY={SECRET}")
    first, _, rest = step.log.partition("\n")
    assert first == f"::add-mask::{SECRET}"
    places = [rest, step.errors, step.output_file.read_text(), step.summary_file.read_text()]
    places += [path.read_text() for path in step.workspace.rglob("*") if path.is_file()]
    assert not any("hunter2" in place for place in places)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"scenario": "nope.yml"}, "nope.yml:1:1: the scenario cannot be read"),
        ({"scenario": "../outside.yml"}, "outside the workspace"),
        ({"report__dir": "/tmp"}, "outside the workspace"),
        ({}, "the variable BASE_URL was not handed over"),
        ({"variables": "BASE_URL: x"}, "variables: line 1 is not NAME=value"),
        ({"fail__on": "sometimes"}, "Write not-viable, inconclusive or never"),
        ({"url": "app.example.test"}, "has no scheme"),
        ({"url": "http://127.0.0.1:1/", "allow__hosts": "*.example.test"}, "which no pattern allows"),
        ({"containers": "perhaps"}, "Write true or false"),
        ({"url": "http://127.0.0.1:1/", "baseline": ".github/sse-check.yml"}, "is not JSON"),
    ],
)
def test_bad_input_fails_the_step_with_the_gate_shut(step, inputs, said):
    """
    What is wrong is said in an annotation, the status is 2, and every output is there and says that nothing is known.
    """
    step.run(**inputs)
    assert step.status == 2, step.log + step.errors
    assert said in step.log
    assert [name for name, _ in step.annotations()][:1] == ["error"]
    assert (step.outputs["streaming_enabled"], step.outputs["verdict"]) == ("false", "inconclusive")
    assert set(step.outputs) == set(yaml.safe_load((ROOT / "action.yml").read_text())["outputs"])


def test_a_mistake_in_the_scenario_is_annotated_on_its_line(step):
    """
    Annotations of a scenario's mistakes carry file, line and column as the repository has them.
    """
    (step.workspace / ".github/sse-check.yml").write_text("version: 1\nprobs: []\n")
    step.run()
    assert ("error", step.annotations()[0][1]) in step.annotations()
    assert "file=.github/sse-check.yml,line=2,col=1::probs: unknown key" in step.log


def test_a_redirect_to_a_host_that_is_not_named_is_not_followed(step, server):
    """
    Only the scenario's own hosts are asked, unless `allow-hosts` says otherwise.
    """
    assert github.inside_workspace(step.workspace, "a/b", "x") == step.workspace.resolve() / "a/b"
    step.run(url=f"{server}/events?fault=redirected&count=2&every=50ms", allow__hosts="127.0.0.1")
    assert step.outputs["codes"] == "redirected"


def test_every_input_and_output_of_action_yml_is_known_to_the_code():
    """
    action.yml declares exactly the contract's inputs and outputs, with its defaults, and the code writes exactly these outputs.
    """
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    defaults = {name: spec.get("default", "") for name, spec in action["inputs"].items()}
    assert defaults == {
        "scenario": ".github/sse-check.yml",
        "url": "",
        "variables": "",
        "secrets": "",
        "fail-on": "not-viable",
        "report-dir": "sse-check-report",
        "baseline": "",
        "containers": "false",
        "allow-hosts": "",
    }
    assert list(action["outputs"]) == list(github.outputs(None, "x"))
    assert all(spec["description"] for spec in (*action["inputs"].values(), *action["outputs"].values()))


def test_an_output_cannot_define_another(tmp_path):
    """
    A value with line breaks and something like a delimiter in it stays one value.
    """
    values = {"verdict": "x\nEOF\nstreaming_enabled=true\nstreaming_enabled<<sse_check_\ntrue\nsse_check_", "codes": "a,b"}
    github.write_outputs(tmp_path / "output", values)
    assert read_outputs((tmp_path / "output").read_text()) == values


def test_the_composite_action_is_the_same_action():
    """
    The two action files declare the same inputs and outputs, word for word; the composite hands every one of them on.
    """
    container, composite = (yaml.safe_load((ROOT / name).read_text()) for name in ("action.yml", "composite/action.yml"))
    assert composite["inputs"] == container["inputs"]
    assert {name: spec["description"] for name, spec in composite["outputs"].items()} == {
        name: spec["description"] for name, spec in container["outputs"].items()
    }
    assert [spec["value"] for spec in composite["outputs"].values()] == [
        f"${{{{ steps.check.outputs.{name} }}}}" for name in container["outputs"]
    ]
    (check,) = (step for step in composite["runs"]["steps"] if step.get("id") == "check")
    handed_on = {name: value for name, value in check["env"].items() if name.startswith("INPUT_")}
    assert handed_on == {f"INPUT_{name.upper().replace('-', '_')}": f"${{{{ inputs.{name} }}}}" for name in container["inputs"]}


SERVICES = """\
version: 1
services: {app: {image: "nginx:1.29", port: 80}}
target: {url: "http://app"}
probes: [{name: a, path: /events}]
"""


def test_services_need_the_workflows_word(step):
    """
    A scenario that starts containers is refused unless the workflow allows it; the message says what that means.
    """
    (step.workspace / ".github/sse-check.yml").write_text(SERVICES)
    step.run()
    assert step.status == 2
    assert "containers: true" in step.log
    assert "root on the runner" in step.log


def test_without_an_engine_services_are_a_clear_error(step, monkeypatch):
    """
    Nothing answers where the engine should: one sentence, and no trace of a crash.
    """
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    (step.workspace / ".github/sse-check.yml").write_text(SERVICES)
    step.run(containers="true")
    assert step.status == 2, step.log
    assert "no Docker engine answers at unix:///nonexistent/docker.sock" in step.log
    assert "Traceback" not in step.log + step.errors
    assert step.outputs["streaming_enabled"] == "false"


def test_allowed_hosts_need_no_pattern_for_the_scenarios_own_services(step, monkeypatch):
    """
    What the run itself starts is reached in a network of its own.
    """
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    (step.workspace / ".github/sse-check.yml").write_text(SERVICES)
    step.run(containers="true", allow__hosts="app.example.test")
    assert "which no pattern allows" not in step.log
    assert "no Docker engine" in step.log


def test_debug_logging_shows_the_phases_of_each_stream(step, server, monkeypatch):
    """
    Only where the runner says that debug logging is on.
    """
    url = f"{server}/events?count=2&every=50ms"
    assert "::debug::" not in step.run(url=url).log
    monkeypatch.setenv("RUNNER_DEBUG", "1")
    shown = [rest for name, rest in commands_in(step.run(url=url).log) if name == "debug"]
    assert any("alone #1" in line and "head" in line for line in shown)


def result_with(count: int) -> Result:
    """A result with so many findings of one kind."""
    names = [f"probe {number}" for number in range(count)]
    value = recording(*(stream(head=answer(500), probe=name) for name in names), scenario=scenario(*map(probe, names)))
    return build_result(value, judge(value))


def test_a_probe_that_failed_is_annotated_on_its_own_line(step, server):
    """
    A fault stands on the line of the scenario where its probe begins, one of two protocols too, so that a pull request shows it.
    """
    text = """\
version: 1
criteria: {first_event: 500ms}
target: {url: "${BASE_URL}"}
probes:
  - {name: good, path: "/events?count=3&every=50ms"}
  - {name: broken, path: "/events?fault=http-error"}
  - name: late
    ip: both
    path: /events?count=3&every=50ms&first=900ms
"""
    (step.workspace / ".github/sse-check.yml").write_text(text)
    step.run(variables=f"BASE_URL={server.replace('127.0.0.1', 'localhost')}")
    found = {}
    for _, rest in step.annotations():
        match = re.search(r"file=(.*?),line=([0-9]+),col=([0-9]+)", rest)
        assert match is not None, rest
        found[text.split("\n")[int(match[2]) - 1][int(match[3]) - 1 :][:12]] = match[1]

    assert found == {"{name: broke": ".github/sse-check.yml", "name: late": ".github/sse-check.yml"}


def test_a_baseline_of_the_workspace_is_compared_with(step, server):
    """
    The input `baseline` names an earlier report; what got worse is a warning, and among the output's codes.
    The first run has none yet, and says so.
    """
    url = f"{server}/events?count=5&every=50ms"
    step.run(url=url, report__dir="before", baseline="before/report.json")
    assert step.status == 0
    assert [(name, "is not there" in rest) for name, rest in step.annotations()] == [("notice", True)]
    step.run(url=f"{url}&first=900ms", baseline="before/report.json")

    assert step.status == 0
    assert step.outputs["codes"] == "regression"
    assert {name for name, rest in step.annotations() if "regression" in rest} == {"warning"}
    assert "Compared with the run of" in step.summary_file.read_text()


def test_metrics_are_pushed_where_the_steps_environment_says(step, server, monkeypatch):
    """
    A monitor that cannot be reached is a warning, and the verdict stays.
    """
    monkeypatch.setenv("SSE_CHECK_PUSHGATEWAY", "http://127.0.0.1:9")
    monkeypatch.setenv("SSE_CHECK_OTLP", "http://127.0.0.1:9")
    step.run(url=f"{server}/events?count=3&every=50ms")

    assert step.status == 0
    assert [name for name, rest in step.annotations() if "did not reach" in rest] == ["warning", "warning"]


@pytest.mark.parametrize(
    ("shard", "status", "said"), [("2/3", 0, "This is shard 2 of 3"), ("4/3", 2, "SSE_CHECK_SHARD: there is no shard 4/3")]
)
def test_a_jobs_place_in_a_matrix_comes_from_the_steps_environment(step, server, monkeypatch, shard, status, said):
    """
    A shard opens its own streams and opens no gate, whatever it saw; a shard that cannot be is an error.
    """
    monkeypatch.setenv("SSE_CHECK_SHARD", shard)
    step.run(url=f"{server}/events?count=3&every=50ms")

    assert (step.status, step.outputs["streaming_enabled"], step.outputs["verdict"]) == (status, "false", "inconclusive")
    assert said in step.log
    if status == 0:
        records = (step.workspace / "sse-check-report/recording.ndjson").read_text().splitlines()
        assert [(r["probe"], r["stream"]) for r in map(json.loads, records) if r["record"] == "stream"] == [("3 at once", 2)]


@pytest.mark.parametrize(("count", "shown", "last"), [(9, 9, "http-error in probe 8"), (10, 10, "and 1 more"), (300, 10, "and 291 more")])
def test_nine_annotations_of_a_kind_and_the_rest_counted(count, shown, last):
    """
    The runner keeps ten of a kind in a step: nine, and one that says how many more there are.
    """
    out = io.StringIO()
    github.annotate_result(result_with(count), out)
    errors = [rest for name, rest in commands_in(out.getvalue()) if name == "error"]
    assert len(errors) == shown
    assert last in errors[-1]


def test_the_summary_takes_the_room_that_there_is(tmp_path):
    """
    A step summary that is nearly full gets the verdict and what fits; GitHub would drop all of it beyond 1 MiB.
    """
    file = tmp_path / "summary"
    for already, begins in ((0, True), (github.SUMMARY_BYTES - 2_000, True), (github.SUMMARY_BYTES - 10, False)):
        file.write_text("x" * already)
        github.append_summary(file, Report(result=result_with(50), pictures=()))
        text = file.read_text()
        assert len(text.encode()) <= github.SUMMARY_BYTES
        assert ("### ❌" in text) == begins
        assert text.count("<details>") == text.count("</details>")
