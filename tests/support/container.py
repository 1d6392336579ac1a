"""Runs a container action on this machine as GitHub's runner does: its build, its mounts, its environment, its signals.

After actions/runner (2.336.0): ContainerActionHandler.cs for the environment, the mounts and the paths,
DockerCommandManager.cs for the command lines, FileCommandManager.cs for the files, ProcessInvoker.cs for a cancel.
"""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.support.runner import commands_in, read_outputs

SIGINT_GRACE, SIGTERM_GRACE = 7.5, 2.5  # seconds; after them the client is killed, and the container goes on
# What this process has made, on an engine that other tests use at the same time.
MINE = f"tests={os.getpid()}"
# Each file, as the context variable that names it, and the prefix of its name.
FILES = {"GITHUB_OUTPUT": "set_output_", "GITHUB_STEP_SUMMARY": "step_summary_", "GITHUB_ENV": "set_env_", "GITHUB_STATE": "save_state_"}


def docker(*args: str | Path, check: bool = True, timeout: float = 300) -> str:
    """A docker command's output."""
    done = subprocess.run(["docker", *map(str, args)], capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(map(str, args))}: {done.stderr}")
    return done.stdout.strip()


@dataclass
class Done:
    """What a step has come to, as the runner and the next step see it."""

    status: int
    log: str
    outputs: dict[str, str]
    summary: str
    summary_bytes: int
    signals: list[str]
    seconds_after_cancel: float | None
    left_running: bool
    annotations: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Runner:
    """One job's machine: its folders, and the image of the action under test."""

    directory: Path
    image: str
    inputs: Mapping[str, str]
    user: int = 1001  # a hosted runner works as a plain user

    def __post_init__(self) -> None:
        for name in ("workspace", "temp", "temp/_github_home", "temp/_github_workflow", "temp/_runner_file_commands"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "temp/_github_workflow/event.json").write_text("{}")

    @property
    def workspace(self) -> Path:
        """The checked-out repository."""
        return self.directory / "workspace"

    def write(self, name: str, text: str) -> None:
        """A file of the repository."""
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def step(
        self,
        given: Mapping[str, str] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        network: str | None = None,
        cancel_at: str | None = None,
        kill_after: float | None = None,
        socket: bool = True,
    ) -> Done:
        """Run the action once. `cancel_at`: the runner cancels when the log shows this; `kill_after`: the container is killed outright."""
        name = f"{re.sub('[^a-zA-Z0-9]', '', self.image)}_{uuid.uuid4().hex[:6]}"
        for path in (self.workspace, *self.workspace.rglob("*")):
            os.chown(path, self.user, self.user, follow_symlinks=False)
        commands = self.directory / "temp/_runner_file_commands"
        files = {variable: commands / f"{prefix}{uuid.uuid4()}" for variable, prefix in FILES.items()}
        for file in files.values():
            file.touch()
        variables = self._environment({**self.inputs, **(given or {})}, env or {}, files)
        program = shutil.which("docker")  # the variables below, PATH among them, are the client's as well
        assert program is not None
        line = [program, "run", "--name", name, "--label", "runner-of-tests", "--label", MINE, "--workdir", "/github/workspace", "--rm"]
        for variable in variables:
            line += ["-e", variable]
        line += ["-e", "GITHUB_ACTIONS=true", "-e", "CI=true"]
        line += ["--network", network] if network else []
        for host, inside in self._mounts(socket=socket):
            line += ["-v", f"{host}:{inside}"]
        return self._run([*line, self.image], variables, name, files, cancel_at, kill_after)

    def _mounts(self, *, socket: bool) -> list[tuple[Path, str]]:
        temp = self.directory / "temp"
        mounts = [(Path("/var/run/docker.sock"), "/var/run/docker.sock")] if socket else []
        return [
            *mounts,
            (temp, "/github/runner_temp"),
            (temp / "_github_home", "/github/home"),
            (temp / "_github_workflow", "/github/workflow"),
            (temp / "_runner_file_commands", "/github/file_commands"),
            (self.workspace, "/github/workspace"),
        ]

    def _environment(self, inputs: Mapping[str, str], env: Mapping[str, str], files: Mapping[str, Path]) -> dict[str, str]:
        variables = {
            **env,
            **{f"INPUT_{name.replace(' ', '_').upper()}": value for name, value in inputs.items()},
            "HOME": str(self.directory / "temp/_github_home"),
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_EVENT_PATH": str(self.directory / "temp/_github_workflow/event.json"),
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_REPOSITORY": "example/repo",
            "GITHUB_RUN_ID": "1",
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(self.directory / "temp"),
            "ACTIONS_RUNTIME_TOKEN": "none",
            **{name: str(path) for name, path in files.items()},
        }
        return {name: self._translated(value) for name, value in variables.items()}

    def _translated(self, value: str) -> str:
        """A value that is a mounted folder, or lies in one, is told as the container has it."""
        for host, inside in reversed(self._mounts(socket=False)):
            if value == str(host) or value.startswith(f"{host}/"):
                return inside + value[len(str(host)) :]
        return value

    def _run(
        self, line: list[str], env: Mapping[str, str], name: str, files: Mapping[str, Path], cancel_at: str | None, kill_after: float | None
    ) -> Done:
        client = subprocess.Popen(
            line, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )  # fmt: skip
        signals: list[str] = []
        cancelled: list[float] = []
        killer = threading.Timer(kill_after, lambda: docker("kill", name, check=False)) if kill_after is not None else None
        if killer:
            killer.start()
        log = ""
        assert client.stdout is not None
        for text in client.stdout:
            log += text
            if cancel_at is not None and cancel_at in text and not cancelled:
                cancelled.append(time.monotonic())
                threading.Thread(target=_cancel, args=(client, signals), daemon=True).start()
        client.stdout.close()
        status = client.wait()
        ended = time.monotonic()
        if killer:
            killer.cancel()
        left = bool(docker("ps", "-q", "--filter", f"name=^{name}$"))
        docker("rm", "-f", name, check=False)
        summary = files["GITHUB_STEP_SUMMARY"].read_bytes()
        return Done(
            status=status,
            log=log,
            outputs=read_outputs(files["GITHUB_OUTPUT"].read_text()),
            summary=summary.decode() if len(summary) <= 1024 * 1024 else "",
            summary_bytes=len(summary),
            signals=signals,
            seconds_after_cancel=ended - cancelled[0] if cancelled else None,
            left_running=left,
            annotations=[(level, rest) for level, rest in commands_in(log) if level in ("error", "warning", "notice")],
        )


def _cancel(client: "subprocess.Popen[str]", signals: list[str]) -> None:
    for number, grace in ((signal.SIGINT, SIGINT_GRACE), (signal.SIGTERM, SIGTERM_GRACE)):
        signals.append(number.name)
        client.send_signal(number)
        try:
            client.wait(grace)
        except subprocess.TimeoutExpired:
            continue
        return
    signals.append("SIGKILL")
    client.kill()


def declared_inputs(action: Path) -> dict[str, str]:
    """The inputs of an action and their defaults: what the runner sets where the workflow says nothing."""
    return {name: str(spec.get("default", "")) for name, spec in yaml.safe_load(action.read_text())["inputs"].items()}


def ours() -> list[str]:
    """Every container, network and volume that a run of sse-check has left."""
    found = docker("ps", "-a", "--filter", "label=sse-check.run", "--format", "container {{.Names}}").splitlines()
    found += docker("ps", "-a", "--filter", "label=sse-check.reaper", "--format", "container {{.Names}}").splitlines()
    found += docker("network", "ls", "--filter", "label=sse-check.run", "--format", "network {{.Name}}").splitlines()
    return found


def everything() -> set[str]:
    """Every container, network and volume that there is, but for those of other tests: of another process, and what act made."""
    listed = docker("ps", "-a", "--no-trunc", "--format", "{{.ID}}\t{{.Labels}}\t{{.Names}}").splitlines()
    listed += docker("network", "ls", "--no-trunc", "--format", "{{.ID}}\t{{.Labels}}\t{{.Name}}").splitlines()
    listed += docker("volume", "ls", "--format", "{{.Name}}\t{{.Labels}}\t{{.Name}}").splitlines()
    rows = (line.split("\t") for line in listed)
    return {key for key, labels, name in rows if not name.startswith("act-") and not _others(labels)}


def _others(labels: str) -> bool:
    return any(label.startswith("tests=") and label != MINE for label in labels.split(","))


def wait_for(what: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def network(name: str) -> Iterator[str]:
    """A network, as a job with `services:` has one."""
    docker("network", "create", "--label", MINE, name)
    try:
        yield name
    finally:
        docker("network", "rm", name, check=False)


@contextmanager
def container(image: str, *command: str, network: str = "bridge", options: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """A container that runs meanwhile; gives its name and its address in the network."""
    name = f"tests-{uuid.uuid4().hex[:8]}"
    docker("run", "-d", "--rm", "--name", name, "--label", MINE, "--network", network, *options, image, *command)
    try:
        yield name, docker("inspect", "-f", f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}', name)
    finally:
        docker("rm", "-fv", name, check=False)
