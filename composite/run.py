"""The composite action's program: the locked libraries into a folder of their own, then the same door as the container's."""

import contextlib
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Before anything can fail: a gate that reads the outputs stays shut. One that reads none does too, and the check itself says why.
with contextlib.suppress(OSError), Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as outputs:
    outputs.write("streaming_enabled=false\nverdict=inconclusive\n")

requirements = ROOT / "requirements/runtime.txt"
# By its content: a job may use two versions of the action.
libraries = Path(os.environ["RUNNER_TEMP"]) / f"sse-check-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]}"
if not libraries.exists():
    pip = [
        sys.executable,
        "-I",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--require-hashes",
        "--only-binary",
        ":all:",
    ]
    beside = libraries.with_name(f"{libraries.name}.{os.getpid()}")
    done = subprocess.run([*pip, "--target", beside, "-r", requirements], check=False)
    if done.returncode:
        print("::error title=sse-check::Its libraries could not be installed from the package index. See the log above.", flush=True)
        sys.exit(70)
    beside.rename(libraries)
sys.path[:0] = [str(ROOT), str(libraries)]

from sse_check.cli import action  # noqa: E402  # what it needs is there only now

sys.exit(action(os.environ))
