"""sse-check as processes: a command run to its end, and the embedded server."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "sse_check"]
_MEASURED_AGAIN = 4
_TOO_LATE = re.compile("measuring machine|machine stood still|read so late")


def sse_check(*args: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run sse-check to its end; longer than 60 s is a hang."""
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def sse_check_in_time(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """A run of sse-check; where that says that this machine, on which other tests run, was too late to judge, it is measured again."""
    for _ in range(_MEASURED_AGAIN):
        done = sse_check(*args)
        if done.returncode != 3 or _TOO_LATE.search(done.stdout) is None:
            break
    return done


@contextmanager
def serving() -> Iterator[str]:
    """`sse-check serve` while the context lasts; gives its base URL. It must end in order."""
    process = subprocess.Popen([*COMMAND, "serve", "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        base = re.match(r"(http://[^/]+)/", process.stdout.readline())
        assert base is not None
        yield base[1]
    finally:
        process.terminate()
        process.stdout.close()
        assert process.wait(10) == 0
