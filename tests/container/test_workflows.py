"""Workflows, run by act: jobs that gate on the action's outputs, and the examples that people copy."""

import sys
import uuid
from pathlib import Path

import pytest
import yaml

from tests.container.conftest import HERE
from tests.support.container import docker, everything
from tests.support.process import ROOT
from tests.support.workflows import Repository, copy_of

GATED = """\
name: gated
on: [push]
jobs:
  check:
    runs-on: ubuntu-latest
    outputs:
      streaming_enabled: ${{ steps.sse.outputs.streaming_enabled }}
    steps:
      - uses: actions/checkout@v6
      - id: sse
        uses: USES
        with:
          url: ${{ vars.URL }}
          fail-on: FAIL_ON
      - if: always()
        env: {VERDICT: "${{ steps.sse.outputs.verdict }}", DIR: "${{ steps.sse.outputs.report-dir }}"}
        run: echo "the next step reads $VERDICT"; ls "$DIR"
  deploy:
    needs: [check]
    if: ${{ needs.check.outputs.streaming_enabled == 'true' }}
    runs-on: ubuntu-latest
    steps:
      - run: echo deployed
"""


@pytest.fixture
def repository(checkout, tmp_path) -> Repository:
    """This repository, so that `uses: ./` is the action under test."""
    return Repository(copy_of(checkout, tmp_path / "repository"))


@pytest.fixture
def actions(checkout, tmp_path) -> dict[str, Path]:
    """What the workflows use, by the names that they use: this action, and stand-ins for those that live on GitHub."""
    pinned = {
        "actions/upload-artifact": "043fb46d1a93c77aae656e7c1c64a875d1fc6a0a",
        "actions/download-artifact": "3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c",
        "actions/setup-python": "a309ff8b426b58ec0e2a45f0f869d46889d02405",
    }
    local = {f"{name}@{sha}": copy_of(HERE / name, tmp_path / name.partition("/")[2]) for name, sha in pinned.items()}
    return {**local, "org/sse-check@v1": copy_of(checkout, tmp_path / "sse-check")}


@pytest.mark.parametrize("uses", ["./", "./composite"])
@pytest.mark.parametrize(
    ("query", "fail_on", "verdict", "check", "deploy"),
    [
        ("count=4&every=50ms", "not-viable", "viable", "success", "success"),
        ("count=5&every=150ms&fault=buffered-full", "never", "not-viable", "success", "skipped"),
        ("count=5&every=150ms&fault=buffered-full", "not-viable", "not-viable", "failure", "skipped"),
    ],
    ids=["viable", "not viable, never failing", "not viable"],
)
def test_a_second_job_is_gated_by_the_firsts_output(repository, actions, origin, uses, query, fail_on, verdict, check, deploy, tmp_path):
    """
    Over two jobs: the second runs where streaming was proven, and nowhere else; in a container and without one.
    """
    repository.write("gated.yml", GATED.replace("USES", uses).replace("FAIL_ON", fail_on))
    jobs = repository.run(
        "gated.yml",
        variables={"URL": f"{origin}/events?{query}"},
        env={"TESTS_PYTHON": sys.executable},
        actions={name: path for name, path in actions.items() if "setup-python" in name} if uses == "./composite" else None,
    )
    assert f"the next step reads {verdict}" in jobs["check"].log, jobs
    assert "report.json" in jobs["check"].log
    assert jobs["check"].result == check
    assert jobs["deploy"].result == deploy if "deploy" in jobs else deploy == "skipped"
    assert "SSE" in jobs["check"].summary


@pytest.mark.parametrize("variant", ["streaming", "default"])
def test_the_pull_requests_example(repository, actions, variant):
    """
    Its own application behind its own nginx: passes as it is, and fails with nginx's default.
    """
    workflow = "examples/workflows/pull-request.yml"
    text = (repository.path / workflow).read_text().replace("CONF=streaming", f"CONF={variant}")
    repository.write(workflow, text)
    before = everything()
    job = repository.run(workflow, event="pull_request", actions=actions)["Application behind nginx"]
    assert job.result == {"streaming": "success", "default": "failure"}[variant], job.log
    assert ("buffered-full" in job.summary) == (variant == "default")
    assert everything() == before


@pytest.mark.parametrize(("fault", "deploys"), [("", True), ("&fault=one-behind&every=500ms", False)])
def test_the_deployments_gate_example(repository, actions, origin, fault, deploys):
    """
    The deployment runs on a proven yes, and the probing job is green either way.
    """
    path = f"/events?count=5&every=50ms{fault}"
    repository.write(".github/sse-check.yml", f"version: 1\ntarget: {{url: '${{BASE_URL}}'}}\nprobes: [{{name: a, path: '{path}'}}]\n")
    repository.write("deploy.sh", "#!/bin/sh\necho deployed\n")
    (repository.path / "deploy.sh").chmod(0o755)
    jobs = repository.run("examples/workflows/gate-deployment.yml", variables={"STAGING_URL": origin}, actions=actions)
    assert jobs["Check staging"].result == "success", jobs
    assert ("Deploy" in jobs and "deployed" in jobs["Deploy"].log) == deploys, jobs


@pytest.mark.parametrize("missing", [False, True])
def test_the_regions_example(repository, actions, origin, image, tmp_path, missing):
    """
    Three recordings are judged as one; a region that brought none makes the answer a no.
    """
    workflow = "examples/workflows/regions.yml"
    text = (repository.path / workflow).read_text().replace("ghcr.io/org/sse-check:1", image)
    if missing:
        text = text.replace("${{ !cancelled() }}", "${{ matrix.region != 'us-east' }}", 1)
    repository.write(workflow, text)
    repository.write(
        ".github/sse-check.yml",
        "version: 1\ntarget: {url: '${BASE_URL}'}\nprobes: [{name: a, path: '/events?count=5&every=150ms', until: {event: complete}}]\n",
    )
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    jobs = repository.run(
        workflow,
        event="workflow_dispatch",
        variables={"PRODUCTION_URL": origin},
        env={"ARTIFACTS": str(artifacts)},
        actions=actions,
        labels=("self-hosted", "linux", "ubuntu-latest", "eu-west", "us-east", "ap-south"),
    )
    judge = jobs["Judge"]
    regions = {"eu-west", "ap-south"} if missing else {"eu-west", "us-east", "ap-south"}
    assert {path.name for path in artifacts.iterdir()} == {f"sse-check-{region}" for region in regions}, jobs
    assert judge.result == ("failure" if missing else "success"), judge.log
    assert judge.outputs["judge"]["streaming_enabled"] == ("false" if missing else "true")
    assert ("SSE streams through this deployment" in judge.summary) == (not missing)


@pytest.mark.alone  # its shards have to be there by an instant
@pytest.mark.parametrize("missing", [False, True])
def test_the_matrix_example(repository, actions, origin, image, tmp_path, missing):
    """
    Four shards of one run are judged as one; one that brought no recording is named, and makes the answer a no.
    """
    workflow = "examples/workflows/matrix.yml"
    text = (repository.path / workflow).read_text().replace("ghcr.io/org/sse-check:1", image).replace("+3 minutes", "+25 seconds")
    if missing:
        text = text.replace("${{ !cancelled() }}", "${{ matrix.shard != 3 }}", 1)
    repository.write(workflow, text)
    path = "/events?count=5&every=150ms"
    repository.write(
        ".github/sse-check.yml",
        f"version: 1\ntarget: {{url: '${{BASE_URL}}'}}\nprobes: [{{name: a, path: '{path}', until: {{event: complete}}, streams: 10}}]\n",
    )
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    jobs = repository.run(
        workflow, event="workflow_dispatch", variables={"STAGING_URL": origin}, env={"ARTIFACTS": str(artifacts)}, actions=actions
    )
    judge = jobs["Judge"]
    assert judge.result == ("failure" if missing else "success"), jobs
    assert judge.outputs["judge"]["streaming_enabled"] == ("false" if missing else "true")
    assert ("shard 3 of 4 is missing" in judge.log) == missing
    assert ("SSE streams through this deployment" in judge.summary) == (not missing)


def test_every_example_is_run_here_or_needs_somebody_elses_service():
    """
    No example is forgotten: those that are not run name the service that they need.
    """
    foreign = {
        "feature-flag.yml": "gh variable",
        "flagd.yml": "gh pr create",
        "flag-services.yml": "launchdarkly.com",
        "monitor.yml": "gh issue",
    }
    run_here = {"pull-request.yml", "gate-deployment.yml", "regions.yml", "required-check.yml", "matrix.yml"}
    files = {path.name: path.read_text() for path in (ROOT / "examples/workflows").glob("*.yml")}
    assert set(files) == run_here | set(foreign)
    assert all(service in files[name] for name, service in foreign.items())


@pytest.mark.parametrize("broken", [False, True])
def test_the_required_checks_example(repository, actions, image, tmp_path, broken):
    """
    The aggregator is green if every leg is, and red if one is not; the application is a service of the job.
    """
    workflow = "examples/workflows/required-check.yml"
    text = (repository.path / workflow).read_text()
    service = yaml.safe_load(text)["jobs"]["check"]["services"]["app"]["image"]
    # The image's own command is the action; here it serves.
    (tmp_path / "app").mkdir()
    (tmp_path / "app/Dockerfile").write_text(f'FROM {image}\nCMD ["serve", "--host", "0.0.0.0", "--port", "8080"]\n')
    app = f"sse-check-tests-app:{uuid.uuid4().hex}"
    docker("build", "-q", "-t", app, tmp_path / "app")
    # act puts a job's services on the job's network only if the job is in a container too.
    text = text.replace("    services:\n", "    container: python:3.13-slim\n    services:\n")
    repository.write(workflow, text.replace(service, app))
    for name, query in (
        ("chat", "count=4&every=100ms"),
        ("notifications", "count=4&every=300ms" + ("&fault=buffered-full" if broken else "")),
    ):
        scenario = (
            f"version: 1\ntarget: {{url: '${{BASE_URL}}'}}\nprobes: [{{name: a, path: '/events?{query}', until: {{event: complete}}}}]\n"
        )
        repository.write(f".github/sse-check/{name}.yml", scenario)
    try:
        jobs = repository.run(workflow, event="pull_request", actions=actions, env={"ARTIFACTS": "/tmp"}, machine="python:3.13-slim")
    finally:
        docker("image", "rm", app, check=False)
    legs = {name.rpartition("-")[0]: job.result for name, job in jobs.items() if name.startswith("Check")}
    assert legs == {"Check chat": "success", "Check notifications": "failure" if broken else "success"}, jobs
    # act ends at the first failed job of a chain; GitHub runs the aggregator, which is there to fail.
    assert broken or jobs["SSE"].result == "success", jobs
