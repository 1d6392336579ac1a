"""Runs workflows on this machine with act, without GitHub: `run` steps on the machine, container actions in containers."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ACT = Path(sys.executable).with_name("act")


@dataclass
class Job:
    """What has become of one job."""

    result: str = "skipped"
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)  # of its steps, by their ids
    log: str = ""
    summary: str = ""


@dataclass
class Repository:
    """A repository whose workflows are run."""

    path: Path

    def write(self, name: str, text: str) -> None:
        """A file of it."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def run(
        self,
        workflow: str,
        *,
        event: str = "push",
        variables: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        actions: Mapping[str, Path] | None = None,
        labels: tuple[str, ...] = ("ubuntu-latest",),
        machine: str | None = None,
    ) -> dict[str, Job]:
        """Run one workflow; the jobs that ran, by name.

        `actions` take the place of what GitHub would be asked for. `machine` is an image to run the jobs in: a job with
        `services:` needs one, for its network.
        """
        _commit(self.path)
        with tempfile.TemporaryDirectory(prefix="act-") as cache:
            line = [str(ACT), event, "--json", "--directory", str(self.path), "--workflows", str(self.path / workflow)]
            line += ["--action-cache-path", cache, "--action-offline-mode", "--no-cache-server", "--pull=false", "--rm"]
            # GitHub runs the jobs of a matrix at once, act as many as there are processors.
            line += ["--concurrent-jobs", "8"]
            if machine is None:
                # On the machine itself a container action is told host paths for its files, and act does not mount them there.
                line += ["--container-options", f"-v {cache}:{cache}"]
            for label in labels:
                line += ["--platform", f"{label}={machine or '-self-hosted'}"]
            for name, value in (variables or {}).items():
                line += ["--var", f"{name}={value}"]
            for name, value in (env or {}).items():
                line += ["--env", f"{name}={value}"]
            for name, directory in (actions or {}).items():
                _commit(directory)
                line += ["--use-new-action-cache", "--local-repository", f"{name}={directory}"]
            # act hands its own environment on to the containers.
            clean = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
            done = subprocess.run(line, env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
        return _jobs(done.stdout + done.stderr)


def _commit(directory: Path) -> None:
    """act takes both a repository and a local action from git."""
    git = ["git", "-C", str(directory), "-c", "user.name=tests", "-c", "user.email=tests@example.test"]
    if not (directory / ".git").exists():
        subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A", "-f"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "tests"], check=True)


def _jobs(log: str) -> dict[str, Job]:
    """The jobs of act's log, which is a line of JSON for each thing that happened."""
    jobs: dict[str, Job] = {}
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            jobs.setdefault("act", Job()).log += line + "\n"
            continue
        if "job" not in entry:
            continue
        job = jobs.setdefault(entry["job"].rpartition("/")[2].strip(), Job())
        job.log += entry["msg"].rstrip() + "\n"
        job.result = entry.get("jobResult", job.result)
        if entry.get("command") == "set-output":
            job.outputs.setdefault(".".join(entry["stepID"]), {})[entry["name"]] = entry["arg"]
        elif entry.get("command") == "summary":
            job.summary += entry["content"]
    return jobs


def copy_of(directory: Path, to: Path) -> Path:
    """A copy that may be made a git repository."""
    shutil.copytree(directory, to)
    return to
