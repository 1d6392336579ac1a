"""Several machines: the manifests of examples/kubernetes, whose pods are run here as a node would run them."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.container import MINE, docker
from tests.support.process import ROOT

KUBERNETES = ROOT / "examples/kubernetes"
STREAMS, SHARDS = 4000, 4
# From the first pod's start until all of them wait: interpreters start, and two processors share them with other tests.
START_S = 20

# Whether two processors keep up with 4,000 streams, a server and four clients is not the question here: they are opened over 8 s,
# of the 9 s that each lasts, so that all are open at once and none waits for a server that is busy with the others' beginning.
SCENARIO = f"""\
version: 1
name: Four machines
target: {{url: "${{BASE_URL}}", health: /health}}
criteria: {{event_deadline: 2m, first_event: 1m}}
follow_up: false
probes:
  - {{name: together, path: "/events?count=4&every=3s", until: {{event: complete}}, expect: {{events: 4, every: 3s}}, streams: {STREAMS}, ramp: 8s}}
"""


def pod(manifest: str, image: str, volumes: Mapping[str, Path], config: Mapping[str, str], index: int | None = None) -> list[str]:
    """The `docker run` of a Job's pod: the kubelet's user, rights, variables and mounts, and $(NAME) in its arguments."""
    spec = yaml.safe_load((KUBERNETES / manifest).read_text())["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    rights, of_pod = container["securityContext"], spec["securityContext"]
    variables = {env["name"]: config[env["valueFrom"]["configMapKeyRef"]["key"]] for env in container.get("env", ())}
    if index is not None:
        variables["JOB_COMPLETION_INDEX"] = str(index)
    line = [
        "docker",
        "run",
        "--rm",
        "--label",
        MINE,
        "--user",
        f"{of_pod['runAsUser']}:{of_pod['runAsGroup']}",
        "--security-opt",
        "no-new-privileges",
    ]
    line += ["--read-only"] if rights["readOnlyRootFilesystem"] else []
    line += [f"--cap-drop={name}" for name in rights["capabilities"]["drop"]]
    line += [f"--memory={container['resources']['limits']['memory'].removesuffix('i').lower()}"]
    for name, value in variables.items():
        line += ["-e", f"{name}={value}"]
    for mount in container["volumeMounts"]:
        line += ["-v", f"{volumes[mount['name']]}:{mount['mountPath']}" + (":ro" if mount.get("readOnly") else "")]
    return [*line, image, *(re.sub(r"\$\((\w+)\)", lambda match: variables.get(match[1], match[0]), text) for text in container["args"])]


def joined(recordings: Iterable[Path]) -> str:
    """The records of several shards in one file, in the order of the streams' numbers, as if one machine had observed them all.

    It is as late, and as inexact, as the worst of theirs.
    """
    records = [json.loads(line) for path in recordings for line in path.read_text().splitlines()]
    run = min((r for r in records if r["record"] == "run"), key=lambda r: str(r["started_at"]))
    machines = [r["environment"] for r in records if r["record"] == "end"]
    worst = {name: max(machine[name] for machine in machines) for name in ("loop_lag_p50", "loop_lag_p99", "loop_lag_max")}
    worst["calibration"] = max((machine["calibration"] for machine in machines), key=lambda c: float(c["error_p99"]))
    end = next(r for r in records if r["record"] == "end")
    streams = sorted((r for r in records if r["record"] == "stream"), key=lambda r: (r["phase"] != "connect", r["stream"]))
    del run["shard"]
    return "".join(
        json.dumps(record) + "\n" for record in (run, *streams, {**end, "streams": len(streams), "environment": {**machines[0], **worst}})
    )


def judged(report_dir: Path) -> dict[str, Any]:
    """A report but for the machine that measured."""
    report: dict[str, Any] = json.loads((report_dir / "report.json").read_text())
    del report["environment"]
    return report


@pytest.fixture
def volumes(tmp_path) -> dict[str, Path]:
    """What the pods mount: the scenario, and a claim that is their group's."""
    directories = {name: tmp_path / name for name in ("scenario", "recordings")}
    for directory in directories.values():
        directory.mkdir()
        os.chown(directory, 0, 10001)
        directory.chmod(0o2775)
    (directories["scenario"] / "scenario.yml").write_text(SCENARIO)
    return directories


@pytest.mark.alone
def test_four_pods_judged_together_say_what_one_recording_says(image, origin, volumes):
    """
    4,000 streams in four containers of the Indexed Job, each stream once: the judge's verdict, counts and percentiles are those of the
    same streams in one recording, and a shard that is missing is named.
    """
    instant = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + START_S))
    config = {"base-url": origin, "start-at": instant}
    pods = [
        subprocess.Popen(pod("shards.yml", image, volumes, config, index), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for index in range(SHARDS)
    ]
    said = [process.communicate(timeout=300)[0] for process in pods]
    assert [process.returncode for process in pods] == [0] * SHARDS, said

    recordings = [volumes["recordings"] / str(index) / "recording.ndjson" for index in range(SHARDS)]
    judge = subprocess.run(pod("judge.yml", image, volumes, {}), capture_output=True, text=True, check=False)
    (volumes["recordings"] / "one.ndjson").write_text(joined(recordings))
    mounted = ["run", "--rm", "--label", MINE, "-v", f"{volumes['recordings']}:/recordings", image, "judge", "--fail-on", "never"]
    docker(*mounted, "/recordings/one.ndjson", "--report-dir", "/recordings/one")
    together = judged(volumes["recordings"] / "report")

    assert together == judged(volumes["recordings"] / "one")
    assert sorted(r["stream"] for r in together["test_results"]) == list(range(1, STREAMS + 1))
    assert (judge.returncode, together["verdict"], together["summary"]["concurrent_success"]) == (0, "viable", f"{STREAMS}/{STREAMS}"), (
        judge
    )

    names = [f"/recordings/{index}/recording.ndjson" for index in (0, 1, 3)]
    without = subprocess.run(["docker", *mounted, *names], capture_output=True, text=True, check=False)
    assert (without.returncode, "shard 3 of 4 is missing" in without.stderr) == (2, True), without
