"""What each command loads: a check that runs often is switched off where it is slow to start."""

import os
import subprocess
import sys

import pytest

from tests.support.process import ROOT

# What takes long to load, or brings what does: libraries, what a check needs, what a scenario is read with.
LIBRARIES = {"aiohttp", "docker", "h2", "jinja2", "prometheus_client", "rich", "brotli"}
CHECK = {
    "asyncio",
    "logging",
    "socket",
    "ssl",
    "subprocess",
    "sse_check.pipeline",
    "sse_check.transport",
    "sse_check.report",
    "sse_check.origin",
}
SCENARIO = {"msgspec", "yaml", "json", "sse_check.scenario", "sse_check.redaction"}


def loaded(*command: str) -> set[str]:
    """The modules that Python loads for a command, its own among them. It must end with status 0."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (("--version",), LIBRARIES | CHECK | SCENARIO | {"argparse", "sse_check.arguments"}),
        (("--help",), LIBRARIES | CHECK | SCENARIO),
        (("run", "--help"), LIBRARIES | CHECK | SCENARIO),
        (("validate", "examples/quickstart.yml"), LIBRARIES | CHECK),
        (("schema",), LIBRARIES | CHECK),
        # What was recorded is judged without a network, an engine or a terminal.
        (("judge", "tests/recordings/cached.ndjson", "--fail-on", "never"), LIBRARIES - {"jinja2"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.parametrize("door", [("-m", "sse_check"), ("entrypoint.py",)], ids=" ".join)
def test_a_command_loads_only_what_it_uses(door, arguments, unused):
    """
    Neither a library nor a part of sse-check that the command has no use for, whichever way it is started.
    """
    assert loaded(*door, *arguments) & unused == set()
