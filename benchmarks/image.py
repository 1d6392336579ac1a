"""What the image costs beside its base: its size, and its cold start against the base's bare Python. Prints ratios.

    python benchmarks/image.py [IMAGE [BASE]]

Without IMAGE the one of this checkout is built first. The commands are taken in turns, so that a change of the machine
meets both.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 10


def docker(*args: str) -> str:
    """A docker command's output."""
    return subprocess.run(["docker", *args], capture_output=True, text=True, check=True).stdout.strip()


def seconds(*args: str) -> float:
    """How long a `docker run` takes from its start to its end."""
    began = time.monotonic()
    docker("run", "--rm", *args)
    return time.monotonic() - began


def main(image: str = "", base: str = "python:3.13-slim") -> int:
    """Measure and print."""
    if not image:
        image = "sse-check:bench"
        docker("build", "-q", "-t", image, str(Path(__file__).parents[1]))
    added = int(docker("image", "inspect", "-f", "{{.Size}}", image)) - int(docker("image", "inspect", "-f", "{{.Size}}", base))
    commands = {
        "bare": (base, "python", "-c", "pass"),
        "sse-check --version": (image, "--version"),
        "sse-check schema": (image, "schema"),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, command in commands.items():
            times[name].append(seconds(*command))
    bare = statistics.median(times["bare"])
    print(f"size: {added / 1e6:.1f} MB over {base}")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:22} median of {RUNS}: {median * 1000:4.0f} ms, +{(median - bare) * 1000:3.0f} ms, ratio {median / bare:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
