"""The image under test, built from this checkout by the line that GitHub's runner uses, and machines to run it on."""

import fcntl
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.container import Runner, container, declared_inputs, docker
from tests.support.process import ROOT

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this needs a Docker engine."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.container)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as a checkout has it, and beside it the wheels where a build cannot reach the package index."""
    directory = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name)
    if (ROOT / ".lab/wheels").is_dir():
        shutil.copytree(ROOT / ".lab/wheels", directory / "wheels")
    return directory


@pytest.fixture(scope="session")
def image(checkout: Path) -> Iterator[str]:
    """The action's image, under a name of this process."""
    tag = f"sse-check-tests:{uuid.uuid4().hex}"
    with (Path(tempfile.gettempdir()) / "sse-check-tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one builds it; the others, after it, find every layer in the cache
        docker("build", "-t", tag, "-f", checkout / "Dockerfile", checkout, timeout=600)
    yield tag
    docker("image", "rm", "--no-prune", tag, check=False)


@pytest.fixture
def runner(tmp_path: Path, image: str, checkout: Path) -> Runner:
    """A machine with an empty workspace."""
    return Runner(tmp_path, image, declared_inputs(checkout / "action.yml"))


@pytest.fixture(scope="session")
def origin(image: str) -> Iterator[str]:
    """The embedded server in a container on the default bridge, where actions are too; gives its base URL."""
    with container(image, "serve", "--host", "0.0.0.0", "--port", "8080") as (name, address):
        deadline = time.monotonic() + 20
        while "http://" not in docker("logs", name) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield f"http://{address}:8080"


@pytest.fixture
def pull_request(runner: Runner) -> Runner:
    """A machine with a pull request checked out: an application, its Dockerfile, and nginx's configuration."""
    shutil.copytree(ROOT / "examples/pull-request", runner.workspace, dirs_exist_ok=True)
    (runner.workspace / ".github").mkdir()
    (runner.workspace / "sse-check.yml").rename(runner.workspace / ".github/sse-check.yml")
    return runner
