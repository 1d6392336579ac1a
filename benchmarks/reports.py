"""How long the reports of a large run take, and how large they are, beside those of a small one. Prints ratios.

    python benchmarks/reports.py [STREAMS]

A stream of tests/recordings is repeated; both recordings are judged in turns, by a process of their own each time, as a
user does: `sse-check judge RECORDING --report-dir DIRECTORY`.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from msgspec.structs import replace

from sse_check.recording import from_lines, to_lines

RUNS = 5
SOURCE = Path(__file__).parents[1] / "tests/recordings/buffered-full.ndjson"


def write(path: Path, streams: int) -> None:
    """A recording of so many streams of the probe that opens several at once."""
    with SOURCE.open("rb") as lines:
        recording = from_lines(lines, file=SOURCE.name)
    one = next(s for s in recording.streams if s.phase == "concurrency")
    probe = replace(next(p for p in recording.scenario.probes if p.name == one.probe), streams=streams)
    many = tuple(replace(one, stream=number) for number in range(1, streams + 1))
    with path.open("wb") as file:
        file.writelines(to_lines(replace(recording, scenario=replace(recording.scenario, probes=(probe,)), streams=many)))


def seconds(recording: Path, reports: Path) -> float:
    """How long judging a recording and writing all its reports takes."""
    began = time.monotonic()
    command = [sys.executable, "-m", "sse_check", "judge", str(recording), "--report-dir", str(reports), "--fail-on", "never"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def main(streams: str = "5000") -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        sizes = (3, int(streams))
        paths = {size: Path(scratch) / f"{size}.ndjson" for size in sizes}
        for size, path in paths.items():
            write(path, size)
        times: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(RUNS):
            for size, path in paths.items():
                times[size].append(seconds(path, Path(scratch) / f"reports {size}"))
        small, large = (statistics.median(times[size]) for size in sizes)
        for size in sizes:
            html = (Path(scratch) / f"reports {size}" / "report.html").stat().st_size
            print(f"{size:>6,} streams: {statistics.median(times[size]):.2f} s, report.html {html / 1e6:.2f} MB")
        print(f"ratio: {large / small:.1f} of the time for {sizes[1] / sizes[0]:,.0f} of the streams")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
