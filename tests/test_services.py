"""The scenario's services without an engine: their order, what is compared, which files they may have, what is kept of them."""

import doctest
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from sse_check import reaper
from sse_check.redaction import Redactor
from sse_check.scenario import Compare, Probe, Scenario, ScenarioError, Service, Target, Variables, compared, derive, start_order
from sse_check.scenario.redacted import redact_scenario
from sse_check.services import engine
from sse_check.sources import load_file

if TYPE_CHECKING:
    from docker import DockerClient

APP = Service(build=".", port=8000)


def test_the_examples_in_the_docstrings_are_true():
    """
    What the docstrings show is what happens.
    """
    for module in (engine, derive):
        found = doctest.testmod(module)
        assert found.attempted > 0
        assert found.failed == 0


def test_what_stands_in_front_starts_after_what_is_behind():
    """
    Whatever the order in the file; services that have nothing to do with each other keep theirs.
    """
    chain = {
        "cdn": Service(image="varnish", in_front_of="edge", port=80),
        "cache": Service(image="redis"),
        "edge": Service(image="nginx", in_front_of="app", port=80),
        "app": APP,
    }
    assert start_order(chain) == ["app", "edge", "cdn", "cache"]


def test_a_probe_through_a_proxy_is_compared_with_the_application_behind_all_of_them():
    """
    The last service behind the asked one is asked itself where a fault shows, with the probe's own path and query.
    """
    chain = {
        "cdn": Service(image="varnish", in_front_of="edge", port=80),
        "edge": Service(image="nginx", in_front_of="app", port=80),
        "app": APP,
    }
    said = Compare(direct="http://app:9000/other")
    plan = Scenario(
        version=1,
        services=chain,
        target=Target(url="http://cdn/api"),
        probes=(
            Probe(name="through all", path="/events?a=1&b=2"),
            Probe(name="straight", url="http://app:8000/events"),
            Probe(name="elsewhere", url="https://app.example.test/events"),
            Probe(name="said", path="/events", compare=said),
        ),
    )
    through, straight, elsewhere, kept = (probe.compare for probe in compared(plan).probes)

    assert through == Compare(direct="http://app:8000/api/events?a=1&b=2")
    assert straight is elsewhere is None
    assert kept == said


SCENARIO = """\
version: 1
services:
  app: {build: app, port: 8000}
  edge: {image: nginx, port: 80, in_front_of: app, files: {/etc/nginx/nginx.conf: FILE}}
target: {url: http://edge}
probes: [{name: a, path: /events}]
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with an application, nginx's configuration, and things that are nobody's business."""
    for name in ("workspace/app/Dockerfile", "workspace/ci/nginx.conf", "workspace/.git/config", "outside", "workspace/.github/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "workspace/link").symlink_to(tmp_path / "outside")
    monkeypatch.chdir(tmp_path / "workspace")
    return tmp_path / "workspace"


def loaded(scenario: str, workspace: Path, file: str) -> Scenario:
    Path(scenario).write_text(SCENARIO.replace("FILE", file))
    return load_file(Path(scenario), Variables(), inside=workspace)[0]


@pytest.mark.parametrize("scenario", [".github/sse-check.yml", "sse-check.yml"])
def test_files_are_found_beside_the_scenario_or_in_the_workspace(workspace, scenario):
    """
    `ci/nginx.conf` means the repository's, wherever the scenario lies.
    """
    plan = loaded(scenario, workspace, "ci/nginx.conf")

    assert plan.services["edge"].files == {"/etc/nginx/nginx.conf": "ci/nginx.conf"}
    assert plan.services["app"].build == "app"


def test_a_file_beside_the_scenario_goes_first(workspace):
    """
    As for every path in a file: what lies beside it is meant.
    """
    (workspace / ".github/ci").mkdir()
    (workspace / ".github/ci/nginx.conf").write_text("y")
    assert loaded(".github/s.yml", workspace, "ci/nginx.conf").services["edge"].files == {"/etc/nginx/nginx.conf": ".github/ci/nginx.conf"}


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("../outside", "outside the workspace"),
        ("/etc/passwd", "outside the workspace"),
        ("link", "outside the workspace"),
        (".git/config", "may hold credentials"),
        ("ci/nginx.cnf", "No such file"),
    ],
)
def test_a_file_that_may_not_be_used_is_a_mistake_on_its_line(workspace, file, why):
    """
    Neither paths nor links lead out of the workspace, or to the repository's own credentials.
    """
    with pytest.raises(ScenarioError) as caught:
        loaded("s.yml", workspace, file)
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.path) == (4, "services.edge.files./etc/nginx/nginx.conf")
    assert why in mistake.wrong


def test_a_file_that_a_variable_will_name_is_not_looked_for_yet(workspace):
    """
    A scenario is valid by itself whatever its variables will be.
    """
    Path("s.yml").write_text(SCENARIO.replace("FILE", '"ci/${CONF}.conf"').replace("http://edge", "http://edge, tls: {ca: '${CA}'}"))
    load_file(Path("s.yml"), Variables(assume=True), inside=workspace)
    with pytest.raises(ScenarioError, match="CONF was not handed over"):
        load_file(Path("s.yml"), Variables(), inside=workspace)


@pytest.mark.parametrize("dockerfile", ["../outside", "/etc/passwd", "../.git/config", "link"])
def test_a_builds_dockerfile_lies_in_its_directory(workspace, dockerfile):
    """
    The engine is sent no other file's text.
    """
    (workspace / "app/link").symlink_to(workspace.parent / "outside")
    Path("s.yml").write_text(SCENARIO.replace("FILE", "ci/nginx.conf").replace("build: app", f"build: app, dockerfile: {dockerfile}"))
    with pytest.raises(ScenarioError, match="it has no"):
        load_file(Path("s.yml"), Variables())


def test_a_build_needs_its_dockerfile(workspace):
    """
    A directory without one, or none at all, is said before anything is started.
    """
    (workspace / "app/Dockerfile").unlink()
    with pytest.raises(ScenarioError, match="it has no Dockerfile"):
        loaded("s.yml", workspace, "ci/nginx.conf")
    (workspace / "app").rmdir()
    with pytest.raises(ScenarioError, match="there is no such directory"):
        loaded("s.yml", workspace, "ci/nginx.conf")


@pytest.mark.parametrize(
    ("services_text", "path", "said"),
    [
        ("{App: {image: x}}", "services.App", '"App" is no host name'),
        ("{localhost: {image: x}}", "services.localhost", "cannot be called"),
        ("{a: {}}", "services.a", "neither image nor build"),
        ("{a: {image: x, build: .}}", "services.a", "not both"),
        ("{a: {image: '--privileged'}}", "services.a.image", "is no image"),
        ("{a: {image: x, port: 0}}", "services.a.port", "The least is 1"),
        ("{a: {image: x, ready: {http: /up}}}", "services.a.ready.http", "needs the service's port"),
        ("{a: {image: x, ready: {within: 0s}}}", "services.a.ready.within", "nothing gets ready in no time"),
        ("{a: {image: x, files: {etc/x: .}}}", "services.a.files.etc/x", "no path in a container"),
        ("{a: {image: x, env: {'A=B': x}}}", "services.a.env.A=B", "no name of a variable"),
        ("{a: {image: x, in_front_of: b}}", "services.a.in_front_of", 'there is no service "b"'),
        ("{a: {image: x, in_front_of: a, port: 1}}", "services.a.in_front_of", "in front of each other"),
        ("{a: {image: x, in_front_of: b, port: 1}, b: {image: x, in_front_of: a, port: 1}}", "services.b.in_front_of", "each other"),
        ("{a: {image: x, in_front_of: b}, b: {image: x}}", "services.b", "needs its port"),
        ("{a: {image: x, volumes: [/:/host]}}", "services.a.volumes", "unknown key"),
        ("{a: {image: x, privileged: true}}", "services.a.privileged", "unknown key"),
        ("{" + ", ".join(f"a{n}: {{image: x}}" for n in range(11)) + "}", "services", "At most 10"),
    ],
)
def test_services_that_make_no_sense_are_said(tmp_path, services_text, path, said):
    """
    Every mistake has its place and what would be right.
    """
    (tmp_path / "s.yml").write_text(f"version: 1\nservices: {services_text}\nprobes: [{{name: a, url: 'http://a/'}}]\n")
    with pytest.raises(ScenarioError) as caught:
        load_file(tmp_path / "s.yml", Variables())
    assert any(m.path == path and said in f"{m.wrong} {m.right}" for m in caught.value.mistakes), caught.value


def test_secrets_of_services_are_not_kept():
    """
    Neither a secret nor a value whose name says that it is one is in the scenario that a recording holds.
    """
    env = {"TOKEN": "abcdefgh", "GREETING": "say hunter2hunter2", "DATABASE_URL": "postgres://app:passw0rd99@db:5432/x"}
    app = Service(image="x", env=env, command=("run", "hunter2hunter2"))
    plan = Scenario(version=1, services={"app": app}, probes=(Probe(name="a", url="http://app/"),))
    kept = redact_scenario(plan, Redactor(["hunter2hunter2"])).services["app"]

    assert kept.env == {"TOKEN": "***", "GREETING": "say ***", "DATABASE_URL": "postgres://***@db:5432/x"}
    assert kept.command == ("run", "***")


def test_files_arrive_readable_and_as_roots(tmp_path):
    """
    A directory comes with what is in it; a link in it stays a link; the paths are the container's.
    """
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/a.conf").write_text("a")
    (tmp_path / "conf/b.conf").symlink_to("/etc/passwd")
    (tmp_path / "conf/.git").mkdir()
    (tmp_path / "conf/.git/config").write_text("token")
    (tmp_path / "one").write_text("1")
    (tmp_path / "one").chmod(0o600)
    (tmp_path / "link").symlink_to(tmp_path / "one")
    archive = engine.archive({"/etc/app": str(tmp_path / "conf"), "/opt/one": str(tmp_path / "link")})
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        entries = {entry.name: entry for entry in tar.getmembers()}

    assert set(entries) == {"etc/app", "etc/app/a.conf", "etc/app/b.conf", "opt/one"}
    assert entries["etc/app/b.conf"].issym()
    assert entries["opt/one"].isreg()
    assert entries["opt/one"].mode & 0o444 == 0o444
    assert {entry.uid for entry in entries.values()} == {0}


def test_a_living_owner_is_known_and_a_dead_one_too():
    """
    A process by its number and its start, in this numbering only; of what cannot be seen nothing is said.
    """
    engine_of_nobody = cast("DockerClient", None)  # of a process no engine is asked
    mine = reaper.owner_label(None)
    assert mine.startswith("process:")
    assert not reaper.is_gone(engine_of_nobody, mine)
    assert reaper.is_gone(engine_of_nobody, mine.rpartition(":")[0] + ":1")
    for unknown in ("", "process:elsewhere:1:1", "process:::", "container:", "container:../x", "nobody"):
        assert not reaper.is_gone(engine_of_nobody, unknown)
