"""The command line as a user meets it: real processes, their exit status, what they print and what they leave behind."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sse_check.diagnosis import FAULTS
from tests.support.process import COMMAND, ROOT, sse_check
from tests.support.servers import Endless, raw_server

REPORTS = {"recording.ndjson", "report.json", "summary.md", "report.html", "junit.xml", "metrics.prom"}


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
    assert {p.name for p in (tmp_path / "sse-check-demo").iterdir()} == REPORTS


@pytest.mark.parametrize("code", FAULTS)
def test_demo_of_a_fault_names_it(tmp_path, code):
    """
    `demo --fault C` names C first among its findings (a broken resume after the cut before it); an error ends with 1, a warning with 0.
    """
    done = sse_check("demo", "--fault", code, "--report-dir", tmp_path)
    result = report(tmp_path)
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


# --- an earlier run ---------------------------------------------------------------------------------------------------

RECORDED = ROOT / "tests/recordings"


def test_what_got_worse_since_the_baseline_is_told(server, tmp_path):
    """
    A run names in every report what is worse than in the report that `--baseline` names; the verdict stays the criteria's.
    """
    url = f"{server}/events?count=5&every=100ms"
    assert sse_check("probe", url, "--report-dir", tmp_path / "before").returncode == 0
    slow = [f"{url}&first=900ms", "--report-dir", tmp_path / "now", "--baseline", tmp_path / "before/report.json"]
    done = sse_check("probe", *slow)
    now = report(tmp_path / "now")

    assert done.returncode == 0, done.stderr
    assert "regression" in [f["code"] for f in now["findings"]]
    assert any(c["figure"] == "first_event_time" and c["direction"] == "worse" for c in now["baseline"]["changes"])
    for name in ("summary.md", "report.html"):
        assert "instead of" in (tmp_path / "now" / name).read_text()
    assert 'sse_check_finding{code="regression"' in (tmp_path / "now/metrics.prom").read_text()
    assert "compared with the run of" in done.stdout


def test_a_run_like_the_baseline_is_no_regression(server, tmp_path):
    """
    The same again: nothing changed, and the reports say so.
    """
    url = f"{server}/events?count=5&every=100ms"
    sse_check("probe", url, "--report-dir", tmp_path)
    done = sse_check("probe", url, "--baseline", tmp_path / "report.json")

    assert "nothing changed beyond what two runs vary by" in done.stdout
    assert "warning: regression" not in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "cannot be read: No such file"), ("not JSON", "is not JSON"), ('{"a": 1}', "is no report"), ('{"schema_version": 9, "test_results": [], "verdict": "viable"}', "schema_version 9")],
)  # fmt: skip
def test_a_baseline_that_cannot_be_used_is_said_before_anything_is_sent(tmp_path, text, said):
    """
    Status 2, which file, and what would be right; nothing was asked of anybody.
    """
    if text is not None:
        (tmp_path / "old.json").write_text(text)
    done = sse_check("probe", "http://127.0.0.1:9/", "--baseline", tmp_path / "old.json")

    assert done.returncode == 2
    assert "old.json" in done.stderr
    assert said in done.stderr


def test_two_recordings_are_shown_side_by_side(tmp_path):
    """
    `judge --compare` compares with an earlier recording, whose streams are drawn beside the new ones.
    """
    done = sse_check(
        "judge",
        RECORDED / "buffered-full.ndjson",
        "--compare",
        RECORDED / "redirected.ndjson",
        "--report-dir",
        tmp_path,
        "--fail-on",
        "never",
    )
    changes = report(tmp_path)["baseline"]["changes"]

    assert done.returncode == 0, done.stderr
    assert {c["probe"] for c in changes if c["figure"] == "buffered-full"} or any("buffered-full" in c["detail"] for c in changes)
    assert "the run before" in (tmp_path / "report.html").read_text()


def test_a_report_and_a_recording_are_not_compared_with_at_once(tmp_path):
    """
    One earlier run at a time.
    """
    done = sse_check("judge", RECORDED / "healthy-jitter.ndjson", "--baseline", "x.json", "--compare", RECORDED / "refused.ndjson")

    assert done.returncode == 2
    assert "not allowed with" in done.stderr


def test_any_recording_gives_all_reports_again(tmp_path):
    """
    `judge` needs nothing but the recording: the reports are those of the run, to the byte.
    """
    assert sse_check("judge", RECORDED / "idle-timeout.ndjson", "--report-dir", tmp_path / "a").returncode == 1
    assert sse_check("judge", tmp_path / "a/recording.ndjson", "--report-dir", tmp_path / "b").returncode == 1

    assert {p.name for p in (tmp_path / "a").iterdir()} == REPORTS
    for name in REPORTS:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_a_push_that_fails_is_said_and_changes_nothing(server):
    """
    Metrics are pushed where that is asked for; a monitor that is down is named, and the run is what it was.
    """
    url = f"{server}/events?count=3&every=50ms"
    done = sse_check("probe", url, "--streams", "1", "--pushgateway", "http://who:secret-word@127.0.0.1:9")

    assert done.returncode == 0, done.stderr
    assert "did not reach the Pushgateway" in done.stderr
    assert "secret-word" not in done.stderr + done.stdout


@pytest.mark.parametrize("option", ["--pushgateway", "--otlp"])
@pytest.mark.parametrize("address", ["push.example.test", "http://who:word-123@host:port", "ftp://host", "http://who:word/123@host"])
def test_an_address_that_cannot_be_pushed_to_is_said_before_anything_is_sent(option, address):
    """
    Status 2 and what would be right; the address, which may hold a password, is not repeated.
    """
    done = sse_check("probe", "http://127.0.0.1:9/", option, address)

    assert done.returncode == 2
    assert "no address that can be pushed to" in done.stderr
    assert "word" not in done.stderr


def test_half_an_option_is_none(server):
    """
    Options are known by their whole names, so that a new one changes no script.
    """
    done = sse_check("probe", f"{server}/events?count=1", "--stream", "1")

    assert done.returncode == 2
    assert "unrecognized arguments: --stream 1" in done.stderr


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
async def test_a_signal_ends_the_run_in_order(tmp_path, number, status):
    """
    Interrupted: what was measured is judged and reported, the verdict is inconclusive, the exit status names the signal.
    """
    endless = Endless()
    async with raw_server(endless) as base:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "probe", f"{base}/", "--report-dir", str(tmp_path), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        await asyncio.wait_for(endless.begun.wait(), 30)
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 10) == status
    result = report(tmp_path)
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
        (["judge", "{root}/tests/fuzz/corpus/recording/times-beyond-all-bounds.ndjson"], "times-beyond-all-bounds.ndjson:2: not a line"),
        (["judge", "{root}/tests/fuzz/corpus/recording/no-utf-8.ndjson"], "no-utf-8.ndjson:1: not a recording"),
        (["probe", "{url}", "--method", "GET / HTTP/1.1\r\nX: y"], "is no HTTP method"),
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
