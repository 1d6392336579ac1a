"""The command line as a user meets it: real processes, their exit status, what they print and what they leave behind."""

import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sse_check.diagnosis import FAULTS
from tests.support.process import COMMAND, ROOT, sse_check


def report(directory: Path) -> dict[str, Any]:
    """The report.json of a report directory."""
    result: dict[str, Any] = json.loads((directory / "report.json").read_text())
    return result


# --- the main job -----------------------------------------------------------------------------------------------------


def test_demo_is_viable_and_says_where_the_reports_are(tmp_path):
    """
    `sse-check demo` shows the verdict viable, names the report directory and ends with status 0.
    """
    done = sse_check("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "viable: PROCEED with SSE" in done.stdout
    assert "reports: sse-check-demo" in done.stdout
    assert {p.name for p in (tmp_path / "sse-check-demo").iterdir()} == {"report.json", "recording.ndjson", "summary.md", "junit.xml"}




@pytest.fixture(scope="module")
def demos(tmp_path_factory) -> dict[str, tuple[subprocess.CompletedProcess[str], dict[str, Any]]]:
    """The demo of every fault, some at a time."""
    base = tmp_path_factory.mktemp("demos")

    def demo(code: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
        done = sse_check("demo", "--fault", code, "--report-dir", base / code)
        return done, report(base / code)

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(FAULTS, pool.map(demo, FAULTS), strict=True))


@pytest.mark.parametrize("code", FAULTS)
def test_demo_of_a_fault_names_it(demos, code):
    """
    `demo --fault C` names C first among its findings (a broken resume after the cut before it); an error ends with 1, a warning with 0.
    """
    done, result = demos[code]
    found = list(dict.fromkeys(finding["code"] for finding in result["findings"]))
    assert found[: 2 if code == "resume-broken" else 1] == (["truncated", code] if code == "resume-broken" else [code])
    warning = code in ("redirected", "no-heartbeat")
    assert done.returncode == (0 if warning else 1)
    assert result["streaming_enabled"] is warning
    assert code in done.stdout


def test_run_writes_every_report_and_judge_agrees(server, tmp_path):
    """
    `run` fills the report directory; `judge` on the recording gives the same report, to the byte.
    """
    done = sse_check("run", ROOT / "examples/quickstart.yml", "--var", f"BASE_URL={server}", "--report-dir", tmp_path / "a")
    again = sse_check("judge", tmp_path / "a/recording.ndjson", "--report-dir", tmp_path / "b")
    assert (done.returncode, again.returncode) == (0, 0), done.stderr + again.stderr
    for name in ("report.json", "summary.md", "junit.xml", "recording.ndjson"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert [(r["probe"], r["passed"]) for r in report(tmp_path / "a")["test_results"]] == [
        ("one stream", True),
        *[("three at once", True)] * 3,
    ]


def test_judge_by_another_scenario_changes_the_criteria_only(server, tmp_path):
    """
    `judge --scenario` applies other criteria to what was recorded.
    """
    sse_check("run", ROOT / "examples/quickstart.yml", "--var", f"BASE_URL={server}", "--report-dir", tmp_path)
    strict = tmp_path / "strict.yml"
    strict.write_text((ROOT / "examples/quickstart.yml").read_text() + "criteria: {event_deadline: 1s}\n")
    done = sse_check("judge", tmp_path / "recording.ndjson", "--scenario", strict, "--var", f"BASE_URL={server}")
    assert done.returncode == 1
    assert "criteria.deadline_from: previous" in done.stdout


def test_the_railway_example_runs_and_recommends_what_works(server, tmp_path):
    """
    The founding spike as a scenario: where health fails nothing is streamed, fallbacks are tried, and the key stays secret.
    """
    done = sse_check(
        "run", ROOT / "examples/railway.yml", "--var", f"BASE_URL={server}/nowhere", "--secret-env", "API_KEY",
        "--report-dir", tmp_path, env={"API_KEY": "hunter2-hunter2"},
    )  # fmt: skip
    result = report(tmp_path)
    assert done.returncode == 1
    assert (result["findings"][0]["code"], result["findings"][0]["probe"]) == ("http-error", "health")
    assert result["recommendation"] == "BLOCKED: no fallback works"
    assert [f["worked"] for f in result["fallbacks"]] == [False, False]
    everything = done.stdout + done.stderr + "".join(p.read_text() for p in tmp_path.iterdir())
    assert "hunter2" not in everything


def test_the_first_fallback_that_works_is_recommended(server, tmp_path):
    """
    Where SSE is not viable and a batch request is answered, the batch API is recommended.
    """
    scenario = tmp_path / "s.yml"
    scenario.write_text(
        f"version: 1\ntarget: {{url: '{server}'}}\nprobes: [{{name: p, path: '/events?fault=not-sse'}}]\n"
        "fallbacks: [{websocket: {path: /nowhere}}, {batch: {path: /batch, expect: complete}}]\n"
    )
    done = sse_check("run", scenario, "--report-dir", tmp_path / "r")
    result = report(tmp_path / "r")
    assert done.returncode == 1
    assert result["recommendation"] == "PUNT to batch API"
    assert [(f["kind"], f["worked"]) for f in result["fallbacks"]] == [("websocket", False), ("batch", True)]


def test_probe_checks_a_url_alone_and_three_at_once(server, tmp_path):
    """
    `probe URL` applies the founding criteria: one stream alone and three together.
    """
    done = sse_check("probe", f"{server}/events?count=5&every=100ms", "--report-dir", tmp_path, "-H", "X-Test: 1")
    result = report(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(r["probe"], r["stream"]) for r in result["test_results"]] == [
        ("alone", 1),
        ("3 at once", 1),
        ("3 at once", 2),
        ("3 at once", 3),
    ]
    assert result["summary"]["concurrent_success"] == "3/3"


def test_probe_sends_data_by_post(server, tmp_path):
    """
    `--data @FILE` makes it a POST with the file as body; `--events` and `--streams 1` shorten the run.
    """
    body = tmp_path / "body.json"
    body.write_text('{"stream": true}')
    done = sse_check("probe", f"{server}/events?every=50ms", "--data", f"@{body}", "--events", "3", "--streams", "1", "--format", "json")
    result = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert [(r["total_events"], r["ended"]) for r in result["test_results"]] == [(3, "until")]


def test_stdout_carries_the_result_only(server):
    """
    With `--format json` stdout is one JSON document; progress goes to stderr.
    """
    done = sse_check("probe", f"{server}/events?count=2&every=50ms", "--streams", "1", "--format", "json")
    assert json.loads(done.stdout)["verdict"] == "viable"
    assert "alone: status 200" in done.stderr


# --- exit status ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "fail_on", "status"),
    [
        ("/events?count=3&every=50ms", None, 0),
        ("/events?fault=not-sse", None, 1),
        ("/events?fault=not-sse", "never", 0),
        ("/events?fault=not-sse", "inconclusive", 1),
        ("/events?count=0&first=9s", None, 3),
        ("/events?count=0&first=9s", "not-viable", 0),
        ("/events?count=0&first=9s", "inconclusive", 3),
        ("/events?count=0&first=9s", "never", 0),
    ],
)
def test_exit_status_says_the_verdict(server, path, fail_on, status):
    """
    0 viable, 1 not viable, 3 inconclusive; `--fail-on` says which of them fail.
    """
    done = sse_check("probe", server + path, "--streams", "1", "--duration", "500ms", *(["--fail-on", fail_on] if fail_on else []))
    assert done.returncode == status, done.stdout + done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_in_order(server, tmp_path, number, status):
    """
    Interrupted: what was measured is judged and reported, the verdict is inconclusive, the exit status names the signal.
    """
    process = subprocess.Popen(
        [*COMMAND, "probe", f"{server}/events?count=0&every=50ms", "--report-dir", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    time.sleep(2)
    process.send_signal(number)
    process.communicate(timeout=10)
    result = report(tmp_path)
    assert process.returncode == status
    assert (result["verdict"], result["streaming_enabled"], result["interrupted"]) == ("inconclusive", False, number.name)
    assert result["test_results"][0]["total_events"] > 5
    assert sse_check("judge", tmp_path / "recording.ndjson").returncode == 3


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.fixture
def untouched() -> Iterator[str]:
    """A URL whose server must not be asked: a connection to it fails the test."""
    asked: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                asked.append(listener.accept())

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    assert not asked


GOOD = "version: 1\ntarget: {{url: '{url}'}}\nprobes: [{{name: a, path: /}}]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("", "is empty"),
        ("a: [", "not YAML"),
        ("- a list", "is no scenario"),
        (GOOD + "criterias: {{}}\n", 'Did you mean "criteria"?'),
        (GOOD.replace("/}", "'/${{NOPE}}'}"), "--var NOPE="),
        (GOOD + "criteria: {{first_event: 2 secs}}\n", "Write 2s or 2ms."),
        (GOOD.replace("path: /", "path: /, streams: 0"), "The least is 1."),
        (GOOD.replace("url: '{url}'", "url: app.example.test"), "has no scheme"),
        (GOOD.replace("url: '{url}'", "url: '{url}', tls: {{ca: missing.pem}}"), '"missing.pem" cannot be read'),
    ],
)
def test_a_bad_scenario_is_one_clear_message_and_nothing_is_sent(untouched, tmp_path, text, said):
    """
    A scenario that cannot be run ends with status 2, says where, what and what would be right, and sends nothing.
    """
    path = tmp_path / "bad.yml"
    if text is not None:
        path.write_text(text.format(url=untouched))
    done = sse_check("run", path)
    assert done.returncode == 2
    assert re.search(rf"{re.escape(str(path))}:\d+:\d+: ", done.stderr), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["probe", "app.example.test"], "has no scheme"),
        (["probe", "{url}", "--deadline", "soon"], "is not a duration"),
        (["probe", "{url}", "--streams", "0"], "is no count"),
        (["probe", "{url}", "--success-rate", "150"], "0% to 100%"),
        (["probe", "{url}", "-H", "no colon"], "Write 'Name: value'"),
        (["probe", "{url}", "--data", "@missing"], "--data: missing cannot be read"),
        (["probe", "{url}", "--report-dir", "/proc/none"], "cannot be written"),
        (["run", "x.yml", "--secret-env", "NOT_THERE"], "the environment has no NOT_THERE"),
        (["judge", "missing.ndjson"], "cannot be read"),
        (["judge", "{root}/README.md"], "not a"),
        (["demo", "--fault", "gremlins"], "cannot be shown"),
        (["validate", "missing.yml"], "No such file"),
        (["serve", "--port", "{port}"], "cannot be had"),
        ([], "COMMAND"),
    ],
)
def test_bad_arguments_are_one_clear_message(untouched, args, said):
    """
    Arguments that make no sense end with status 2 and a sentence; nothing is sent.
    """
    values = {"url": untouched, "root": str(ROOT), "port": untouched.rpartition(":")[2]}
    done = sse_check(*[arg.format(**values) for arg in args])
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_validate_and_schema(tmp_path):
    """
    `validate` accepts the examples without their variables' values, and names them; `schema` prints JSON Schema.
    """
    done = sse_check("validate", ROOT / "examples/railway.yml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "needs the variables BASE_URL, API_KEY" in done.stdout
    assert json.loads(sse_check("schema").stdout)["$schema"].startswith("https://json-schema.org/")
    assert re.fullmatch(r"sse-check \d+\.\d+\.\d+\n", sse_check("--version").stdout)
