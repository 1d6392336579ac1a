"""The image: what is in it and what is not, and that it serves as a command of its own."""

import json
import subprocess

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.container import MINE, docker
from tests.support.process import ROOT

# Added to the base, uncompressed: pulling it is part of every job that names the action.
MAX_ADDED = 60_000_000


def inside(image: str, *command: str) -> str:
    """What a command in the image prints."""
    return docker("run", "--rm", "--label", MINE, "--entrypoint", command[0], image, *command[1:])


def test_it_adds_little_to_its_base(image):
    """
    Less than 60 MB over the base.
    """
    size, base = (int(docker("image", "inspect", "-f", "{{.Size}}", name)) for name in (image, "python:3.13-slim"))
    assert size - base < MAX_ADDED, f"{(size - base) / 1e6:.1f} MB"


def test_it_holds_nothing_that_was_only_needed_to_build_it(image):
    """
    No pip in its environment, no caches, no wheels, no compiler, nothing of the repository but the program.
    """
    found = inside(
        image, "sh", "-c",
        "ls -d ~/.cache /build /opt/venv/bin/pip* /opt/venv/lib/python*/site-packages/pip /opt/sse-check/* /var/lib/apt/lists/*_* 2>/dev/null; "
        "command -v gcc cc make; find / -xdev -name '*.whl' -not -path '*/ensurepip/*' 2>/dev/null; true",
    )  # fmt: skip
    assert [line for line in found.splitlines() if "ensurepip" not in line and "/usr/share/python-wheels" not in line] == [
        "/opt/sse-check/entrypoint.py"
    ]


def test_it_holds_the_locked_libraries_and_no_other(image):
    """
    In the locked versions: what the SBOM of a release lists is what the image has.
    """
    code = (
        "import importlib.metadata, sysconfig; "
        "print(*(f'{d.name}=={d.version}' for d in importlib.metadata.distributions(path=[sysconfig.get_path('purelib')])))"
    )
    installed = [entry.split("==") for entry in inside(image, "/opt/venv/bin/python", "-I", "-c", code).split()]
    python = inside(image, "/opt/venv/bin/python", "-c", "import platform; print(platform.python_version())")
    where = {"python_full_version": python, "sys_platform": "linux"}
    wanted = set()
    for entry in (ROOT / "requirements/runtime.txt").read_text().replace("\\\n", " ").splitlines():
        requirement = Requirement(entry.partition("--hash")[0].strip())
        if requirement.marker is None or requirement.marker.evaluate(where):
            wanted.add(f"{requirement.name}{requirement.specifier}")
    assert {f"{canonicalize_name(name)}=={version}" for name, version in installed} == wanted


def test_no_module_has_to_be_compiled_at_a_start(image):
    """
    All that a run imports comes with its byte code; a cold start pays for nothing else.
    """
    code = "import sys, sse_check.pipeline, sse_check.schedule, sse_check.services, sse_check.github, sse_check.progress, docker; " + (
        "print([n for n, m in sys.modules.items() if getattr(m, '__cached__', None) and n != '__main__'"
        " and not __import__('os').path.exists(m.__cached__)])"
    )
    assert inside(image, "/opt/venv/bin/python", "-I", "-c", code) == "[]"


def test_its_labels_and_its_entry_point_are_those_of_an_image_that_others_use(image):
    """
    OCI labels say what it is and under which licence; the entry point is in exec form, so that signals reach Python.
    """
    config = json.loads(docker("image", "inspect", "-f", "{{json .Config}}", image))
    assert config["Entrypoint"] == ["/opt/venv/bin/python", "-I", "-u", "/opt/sse-check/entrypoint.py"]
    assert {"title", "description", "source", "licenses", "version"} <= {
        name.removeprefix("org.opencontainers.image.") for name in config["Labels"]
    }
    assert config.get("User", "") in ("", "root")


def test_it_is_a_command_too(image, origin, tmp_path):
    """
    `docker run IMAGE probe URL` and `docker run -v … IMAGE run FILE` are the command line.
    """
    assert docker("run", "--rm", "--label", MINE, image, "--version").startswith("sse-check ")
    assert docker("run", "--rm", "--label", MINE, image, "probe", f"{origin}/events?count=3&every=50ms").startswith("✔ viable")
    (tmp_path / "s.yml").write_text("version: 1\nprobes: [{name: a, url: '${URL}/events?count=3&every=50ms'}]\n")
    said = docker(
        "run",
        "--rm",
        "--label",
        MINE,
        "-v",
        f"{tmp_path}:/work",
        "-w",
        "/work",
        image,
        "run",
        "s.yml",
        "--var",
        f"URL={origin}",
        "--format",
        "json",
    )
    assert json.loads(said)["verdict"] == "viable"


@pytest.mark.parametrize("number", ["INT", "TERM"])
def test_a_signal_ends_it_in_order(image, origin, number):
    """
    As process 1 it obeys SIGINT and SIGTERM, and says what it has so far.
    """
    name = f"tests-signal-{number.lower()}"
    process = subprocess.Popen(
        [
            "docker",
            "run",
            "--rm",
            "--label",
            MINE,
            "--name",
            name,
            image,
            "probe",
            f"{origin}/events?count=1000&every=50ms",
            "--format",
            "json",
        ],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout as out:
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            docker("kill", "-s", number, name)
        said = json.loads(out.read())
    assert process.wait(10) == {"INT": 130, "TERM": 143}[number]
    assert (said["verdict"], said["interrupted"]) == ("inconclusive", f"SIG{number}")
