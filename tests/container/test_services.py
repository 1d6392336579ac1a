"""The pull request's case: an application and a proxy in front of it, started for the check and gone after it."""

import os
import random
import re
import shutil
import subprocess
import sys
import threading
import uuid

import pytest

from tests.support.container import Runner, container, docker, everything, ours, wait_for
from tests.support.process import COMMAND, ROOT

ALLOWED = {"containers": "true"}
BROKEN = {**ALLOWED, "variables": "CONF=default"}
CURED = {**ALLOWED, "variables": "CONF=streaming"}


# A server that goes on with its head for ever, a byte at a time.
DRIP = """
import socket, threading, time

def drip(connection):
    for byte in "HTTP/1.1 200 OK" + "x" * 999:
        connection.send(byte.encode())
        time.sleep(0.5)

server = socket.create_server(("0.0.0.0", 8000))
while True:
    threading.Thread(target=drip, args=(server.accept()[0],), daemon=True).start()
"""


def clean() -> bool:
    """Whether nothing of any run is left."""
    return ours() == []


def test_nginx_as_it_comes_fails_the_pull_request_and_the_cure_passes_it(pull_request):
    """
    Behind default nginx: buffered-full, proven by the application asked directly, with nginx's cure. With the cure: viable.
    """
    before = everything()
    done = pull_request.step(BROKEN)
    assert done.status == 1, done.log
    assert done.outputs["codes"] == "buffered-full"
    assert "proxy_buffering off;" in done.summary
    assert "Asked directly, without the proxies, the same stream is not held back." in done.summary
    assert "Log of the service edge" in done.summary
    assert "GET /events" in done.log  # the edge's own log
    assert everything() == before

    done = pull_request.step(CURED)
    assert (done.status, done.outputs["streaming_enabled"], done.outputs["concurrent_success"]) == (0, "true", "3/3"), done.log
    assert "Log of the service" not in done.summary
    assert everything() == before


def test_the_same_scenario_runs_on_the_command_line(pull_request):
    """
    Outside of a container the services are reached on their bridge, by the same names.
    """
    done = subprocess.run(
        [*COMMAND, "run", ".github/sse-check.yml", "--var", "CONF=default"],
        cwd=pull_request.workspace, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "buffered-full (certain)" in done.stdout
    assert clean()


def test_services_are_started_only_where_the_workflow_allows_it(pull_request):
    """
    Without `containers: true` nothing is started, and the error says what the input means.
    """
    done = pull_request.step({"variables": "CONF=default"})
    assert (done.status, done.outputs["verdict"]) == (2, "inconclusive")
    assert "containers: true" in done.log
    assert "root on the runner" in done.log


def test_without_an_engine_there_is_a_clear_error(pull_request):
    """
    A runner without a Docker socket: said in one sentence, with what is needed.
    """
    done = pull_request.step(BROKEN, socket=False)
    assert (done.status, done.outputs["verdict"]) == (2, "inconclusive"), done.log
    assert "no Docker engine answers at /var/run/docker.sock" in done.log
    assert "Traceback" not in done.log


@pytest.mark.parametrize(
    ("old", "new", "said", "logged"),
    [
        ("http: /health, within: 60s", "http: /events/not, within: 60s", None, None),
        ("http: /health, within: 60s", "within: 60s", None, None),
        ("port: 8000", "port: 8001", "not ready within 2s", "listening"),
        ("build: app", "build: app\n    command: [python, -c, 'print(\"no database\"); raise SystemExit(7)']", "exited with status 7", "no database"),
        ("build: app", "build: app\n    command: [no-such-program]", "cannot be started", None),
        ("image: \"nginx:1.29\"", "image: \"registry.invalid/nothing:1\"", "cannot be pulled", None),
        ("image: \"nginx:1.29\"", "image: \"Upper:1:2\"", "cannot be pulled", None),
        ("build: app", "build: drip", "not ready within 2s", None),
        ("build: app", "build: broken", "cannot be built", "the build's own words"),
    ],
    ids=["another path", "only the port", "wrong port", "crashes", "no program", "no image", "no such name", "a byte a second", "no build"],
)  # fmt: skip
def test_a_service_that_never_gets_ready_is_named_with_its_log(pull_request, old, new, said, logged):
    """
    The step fails, the gate is shut, the reason and the service's log are in log and summary, and nothing is left.
    """
    path = pull_request.workspace / ".github/sse-check.yml"
    text = path.read_text().replace("within: 60s", "within: 2s") if said and "ready" in said else path.read_text()
    path.write_text(text.replace(old, new))
    drip = pull_request.workspace / "drip"
    drip.mkdir()
    (drip / "drip.py").write_text(DRIP)
    (drip / "Dockerfile").write_text('FROM python:3.13-slim\nCOPY drip.py /\nCMD ["python", "-u", "/drip.py"]\n')
    (pull_request.workspace / "broken").mkdir()
    (pull_request.workspace / "broken/Dockerfile").write_text("FROM python:3.13-slim\nRUN echo 'the build'\"'\"'s own words' && false\n")
    before = everything()
    done = pull_request.step(CURED)
    assert everything() == before
    if said is None:
        assert done.status == 0, done.log
        return
    assert done.status == 2, done.log
    assert (done.outputs["streaming_enabled"], done.outputs["verdict"]) == ("false", "inconclusive")
    assert said in done.summary
    assert any(said in rest for level, rest in done.annotations if level == "error")
    if logged is not None:
        assert logged in done.summary
        assert logged in done.log


def test_a_cancelled_run_leaves_nothing(pull_request):
    """
    SIGINT while the services are up: partial report, outputs, and no container, in time.
    """
    before = everything()
    done = pull_request.step(BROKEN, cancel_at="ten events: status 200")
    assert (done.status, done.signals, done.left_running) == (130, ["SIGINT"], False), done.log
    assert done.seconds_after_cancel < 7
    assert done.outputs["verdict"] == "inconclusive"
    assert everything() == before


@pytest.mark.parametrize("at", ["building app", "service app: ready"])
def test_a_run_that_is_cancelled_while_services_start_leaves_nothing(pull_request, at):
    """
    Neither a build that goes on for minutes nor half of the services outlives the run, or holds its end up.
    """
    (pull_request.workspace / "app/Dockerfile").write_text(
        "FROM python:3.13-slim\nCOPY server.py /srv/server.py\n"
        + ("RUN sleep 60\n" if at == "building app" else "")
        + 'CMD ["python", "-u", "/srv/server.py"]\n'
    )
    before = everything()
    done = pull_request.step(BROKEN, cancel_at=at)
    assert (done.status, done.left_running) == (130, False), done.log
    assert done.seconds_after_cancel < 7
    assert done.outputs["verdict"] == "inconclusive"
    assert wait_for(lambda: everything() == before), everything() - before


def test_after_ten_runs_five_of_them_killed_nothing_is_left(pull_request):
    """
    Killed outright at random moments: a reaper outside of the run removes what it has left.
    """
    before = everything()
    moments = random.Random(20)
    ends = []
    for number in range(10):
        # A run takes about six seconds after the container's start.
        killed = number % 2 == 1  # the last one too, so that no later run tidies up after it
        done = pull_request.step(CURED, kill_after=moments.uniform(0.3, 6.0) if killed else None)
        ends.append(done.status)
        assert done.status == 0 or killed, done.log
    assert ends.count(137) >= 4, ends
    assert wait_for(lambda: everything() == before), everything() - before


def test_a_killed_command_leaves_nothing(pull_request):
    """
    The command line is watched too: SIGKILL, and its containers go.
    """
    before = everything()
    process = subprocess.Popen(
        [*COMMAND, "run", ".github/sse-check.yml", "--var", "CONF=default"],
        cwd=pull_request.workspace, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    with process.stderr as log:
        for line in log:
            if "service edge: ready" in line:
                process.kill()
    assert process.wait(10) == -9
    assert wait_for(lambda: everything() == before), everything() - before


def test_a_killed_composite_action_leaves_nothing(pull_request, checkout):
    """
    Without a container of its own the action is watched as well, although its libraries are not installed.
    """
    before = everything()
    files = {"GITHUB_OUTPUT": "output", "GITHUB_STEP_SUMMARY": "summary"}
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "INPUT_"))},
        **{name: str(pull_request.directory / file) for name, file in files.items()},
        "GITHUB_WORKSPACE": str(pull_request.workspace),
        "RUNNER_TEMP": str(pull_request.directory / "temp"),
        **{f"INPUT_{name.upper().replace('-', '_')}": value for name, value in {**pull_request.inputs, **BROKEN}.items()},
    }
    process = subprocess.Popen(
        [sys.executable, "-I", "-u", checkout / "composite/run.py"], cwd=pull_request.workspace, env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    shown = ""
    with process.stdout as log:
        for line in log:
            shown += line
            if "service edge: ready" in line:
                process.kill()
    assert process.wait(10) == -9, shown
    assert "nobody watches it" not in shown
    assert wait_for(lambda: everything() == before), everything() - before


def test_a_build_leaves_no_image(pull_request):
    """
    Neither the image nor a layer that only its labels made: the engine's store does not grow with every run.
    """
    mark = f"BUILT_BY={uuid.uuid4().hex}"  # other tests build images meanwhile
    dockerfile = pull_request.workspace / "app/Dockerfile"
    dockerfile.write_text(re.sub(r"^(FROM .*)$", rf"\1\nENV {mark}", dockerfile.read_text(), flags=re.MULTILINE))

    def built() -> set[str]:
        images = set(docker("images", "-aq", "--no-trunc").splitlines())
        # One that is removed meanwhile is none of these.
        listed = docker("image", "inspect", "-f", "{{.Id}} {{.Config.Env}}", *images, check=False)
        return {line.split(" ")[0] for line in listed.splitlines() if mark in line}

    assert pull_request.step(CURED).status == 0  # what stays is the build's cache, once
    before = built()
    assert before
    assert pull_request.step(CURED).status == 0
    assert built() == before
    assert docker("images", "-q", "--filter", "label=sse-check.image") == ""


def test_without_stamps_the_application_itself_is_the_proof(pull_request):
    """
    A short stream that says nothing of when it was sent: nginx's buffer is proven by asking past it.
    """
    server = pull_request.workspace / "app/server.py"
    text = server.read_text().replace('{"seq": number, "ts": time.time()}', '{"text": "hello"}').replace("id: {number}\\n", "")
    server.write_text(text.replace("time.sleep(0.2)", "time.sleep(0.08)"))
    done = pull_request.step(BROKEN)
    assert (done.status, done.outputs["codes"]) == (1, "buffered-full"), done.log
    assert "proxy_buffering off;" in done.summary
    assert pull_request.step(CURED).status == 0


def test_a_build_is_not_sent_the_repositorys_credentials(pull_request):
    """
    Whatever a Dockerfile copies, `.git` is not among it; `.dockerignore` counts.
    """
    for name in (".git/config", "sub/.git/config", "secret.txt"):
        (pull_request.workspace / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        (pull_request.workspace / "app" / name).write_text("token")
    (pull_request.workspace / "app/.dockerignore").write_text("# what stays here\nsecret.txt\n")
    (pull_request.workspace / "app/Dockerfile").write_text(
        'FROM python:3.13-slim\nCOPY . /srv\nRUN test -z "$(find /srv -name .git -o -name secret.txt)" && test -f /srv/server.py\n'
        'CMD ["python", "-u", "/srv/server.py"]\n'
    )
    done = pull_request.step(CURED)
    assert done.status == 0, done.log


def test_two_runs_at_once_do_not_meet(pull_request, tmp_path_factory):
    """
    Each has its own network, names and label; neither removes what is the other's, nor what is nobody's of theirs.
    """
    other = Runner(tmp_path_factory.mktemp("other"), pull_request.image, pull_request.inputs)
    shutil.copytree(pull_request.workspace, other.workspace, dirs_exist_ok=True)
    results = {}
    # Somebody else's container, with a label that looks like ours.
    with container("python:3.13-slim", "sleep", "120", options=("--label", "sse-check=yes")) as (name, _):
        before = everything()

        def run(which: str, runner: Runner, given: dict[str, str]) -> None:
            results[which] = runner.step(given)

        threads = [
            threading.Thread(target=run, args=("broken", pull_request, BROKEN)),
            threading.Thread(target=run, args=("cured", other, CURED)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert everything() == before
        assert docker("inspect", "-f", "{{.State.Running}}", name) == "true"
    assert results["broken"].outputs["codes"] == "buffered-full", results["broken"].log
    assert results["cured"].outputs["streaming_enabled"] == "true", results["cured"].log


def test_what_an_earlier_run_has_left_is_removed_by_the_next(pull_request):
    """
    Containers whose owner is gone, as after a crash of the engine, go with the next run; those of a living owner stay.
    """
    gone = "container:" + "0" * 64
    with container("python:3.13-slim", "sleep", "120") as (owner, _):
        alive = f"container:{docker('inspect', '-f', '{{.Id}}', owner)}"
        for run, of in (("gone", gone), ("alive", alive)):
            labels = ("--label", f"sse-check.run={run}", "--label", f"sse-check.owner={of}")
            docker("run", "-d", "--name", f"tests-{run}", *labels, "python:3.13-slim", "sleep", "120")
        try:
            done = pull_request.step(CURED)
            assert done.status == 0, done.log
            assert ours() == ["container tests-alive"]
        finally:
            docker("rm", "-f", "tests-alive", "tests-gone", check=False)


def test_a_service_that_dies_is_named(pull_request):
    """
    An application that goes down while it is asked: the verdict is about the stream, and the reasons name the service.
    """
    server = pull_request.workspace / "app/server.py"
    server.write_text(
        server.read_text().replace(
            "            time.sleep(0.2)", "            time.sleep(0.2)\n            os._exit(3) if number == 4 else None"
        )
    )
    path = pull_request.workspace / ".github/sse-check.yml"
    one = path.read_text().replace("until: {event: complete}}", "until: {event: complete}, timeout: 4s}")
    path.write_text("\n".join(line for line in one.splitlines() if "three" not in line) + "\nfollow_up: false\n")
    done = pull_request.step(CURED)
    assert done.status == 1, done.log
    assert "exited with status 3" in done.summary


def test_files_outside_of_the_workspace_are_not_handed_to_a_service(pull_request):
    """
    Neither a path nor a link leads out, nor into .git, where credentials may lie.
    """
    (pull_request.workspace / ".git").mkdir()
    (pull_request.workspace / ".git/config").write_text("token")
    (pull_request.workspace / "link.conf").symlink_to("/etc/passwd")
    path = pull_request.workspace / ".github/sse-check.yml"
    text = path.read_text()
    for name, why in (
        ("/etc/passwd", "outside the workspace"),
        ("../../etc/passwd", "outside"),
        ("link.conf", "outside"),
        (".git/config", "credentials"),
    ):
        path.write_text(text.replace('"ci/${CONF}.conf"', f'"{name}"'))
        done = pull_request.step(CURED)
        assert done.status == 2
        assert why in done.log, done.log


def test_secrets_of_a_services_environment_are_nowhere(pull_request):
    """
    What the application prints of a secret is not in the report.
    """
    path = pull_request.workspace / ".github/sse-check.yml"
    path.write_text(path.read_text().replace("{MODE: test}", '{MODE: "${TOKEN}"}'))
    server = pull_request.workspace / "app/server.py"
    server.write_text(server.read_text().replace('print("listening"', 'print(os.environ["MODE"]'))
    done = pull_request.step({**BROKEN, "secrets": "TOKEN=hunter2hunter2"})
    assert done.outputs["codes"] == "buffered-full", done.log
    kept = [path.read_text() for path in (pull_request.workspace / "sse-check-report").iterdir()]
    assert not any("hunter2" in text for text in (*kept, done.summary, done.log.replace("::add-mask::hunter2hunter2", "")))
    assert "***" in done.summary
