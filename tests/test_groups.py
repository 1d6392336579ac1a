"""Tests that must follow each other do, in one of several processes."""

import os
import subprocess
import sys
import threading
import time

import pytest

from tests.support.groups import group_of, turn
from tests.support.process import ROOT


def test_whatever_starts_a_browser_shares_it():
    """
    Two browsers at a time would leave no processor to what measures times.
    """
    starting = [path for path in (ROOT / "tests/lab").glob("test_*.py") if "chromium(" in path.read_text()]
    assert len(starting) > 3
    assert {group_of(f"tests/lab/{path.name}::test_a[b]") for path in starting} == {"browser"}


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("lab/test_limits.py::test_a[nginx, idle 2 s]", "lab/test_limits.py::test_b[nginx, idle 2 s]", True),
        ("lab/test_limits.py::test_a[nginx, idle 2 s]", "lab/test_limits.py::test_a[nginx, idle 3 s]", False),
        ("lab/test_lab.py::test_a[nginx]", "lab/test_lab.py::test_b[nginx]", False),
        ("container/test_services.py::test_a", "container/test_workflows.py::test_the_pull_requests_example[default]", True),
        ("container/test_services.py::test_a", "container/test_workflows.py::test_b", False),
        ("container/test_workflows.py::test_a[1]", "container/test_workflows.py::test_a[2]", True),
        ("container/test_workflows.py::test_a[1]", "container/test_workflows.py::test_b[1]", False),
        ("test_cli.py::test_a[1]", "test_cli.py::test_a[2]", False),
    ],
)
def test_only_tests_of_one_group_share_a_process(one, other, together):
    """
    Those that share what one of them has measured, or count what is left; all others may be anywhere.
    """
    assert (group_of(f"tests/{one}") == group_of(f"tests/{other}")) is together


def test_a_group_is_run_by_one_process(tmp_path):
    """
    Of two processes one runs the whole group, and the others' tests are shared.
    """
    # Who has run the group at once is still in time for some of the others.
    for name, takes in (("container/test_services.py", 0.0), ("test_others.py", 0.3)):
        path = tmp_path / "tests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "import os, pytest, time\n@pytest.mark.parametrize('n', range(8))\n"
            f"def test_it(n): time.sleep({takes}); open({str(tmp_path / path.stem)!r}, 'a').write(os.environ['PYTEST_XDIST_WORKER'] + ' ')\n"
        )
    (tmp_path / "tests/conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", tmp_path / "tests"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "16 passed" in done.stdout, done.stdout + done.stderr
    assert len((tmp_path / "test_services").read_text().split()) == 8
    assert len(set((tmp_path / "test_services").read_text().split())) == 1
    assert len(set((tmp_path / "test_others").read_text().split())) == 2


def test_who_is_alone_has_nobody_beside_it(tmp_path):
    """
    It waits for those that run; who comes later waits for it, although those that run would let it in.
    """
    order: list[str] = []

    def take(name: str, *, alone: bool) -> threading.Thread:
        def run() -> None:
            with turn(tmp_path, alone=alone):
                order.append(f"{name} runs")
                time.sleep(0.05)
                order.append(f"{name} is done")

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.2)  # for it to queue
        return thread

    with turn(tmp_path, alone=False):
        threads = [take("beside", alone=False), take("alone", alone=True), take("later", alone=False)]
        assert order == ["beside runs", "beside is done"]
    for thread in threads:
        thread.join(10)
    assert order[2:] == ["alone runs", "alone is done", "later runs", "later is done"]
