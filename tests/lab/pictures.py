"""Pictures of what people see of six runs: summary.md as GitHub shows it and report.html, on a phone and a desk, light and dark.

python -m tests.lab.pictures DIRECTORY [--only RUN] writes them as RUN-WHAT-DEVICE-SCHEME.png; with --readme, the two of the README.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from sse_check.recording import Recording, from_lines, to_lines
from tests.support.browser import DESKTOP, DEVICES, SCHEMES, chromium, shown
from tests.support.github_markdown import MERMAIDS, draw, write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

RECORDINGS: Final = Path(__file__).parent.parent / "recordings"


def _as_it_is(recording: Recording) -> Recording:
    return recording


def _on_a_busy_machine(recording: Recording) -> Recording:
    """The same, measured by a machine that was itself too late to tell."""
    return replace(recording, environment=replace(recording.environment, loop_lag_p99=0.5, loop_lag_max=2.5))


# A recording for each kind of answer, and what is changed of it.
RUNS: Final[dict[str, tuple[str, Callable[[Recording], Recording]]]] = {
    "viable": ("healthy-jitter", _as_it_is),
    "buffered": ("buffered-full", _as_it_is),
    "compressed": ("compressed-buffered", _as_it_is),
    "cut": ("idle-timeout", _as_it_is),
    "concurrency": ("concurrency-limited", _as_it_is),
    "inconclusive": ("healthy-jitter", _on_a_busy_machine),
}


def report_of(run: str, directory: Path) -> Path:
    """The report directory of a run, made by the program itself in a directory that exists."""
    name, change = RUNS[run]
    source = RECORDINGS / f"{name}.ndjson"
    with source.open("rb") as lines:
        recording = change(from_lines(lines, file=source.name))
    (path := directory / f"{run}.ndjson").write_bytes(b"".join(to_lines(recording)))
    report = directory / run
    command = [sys.executable, "-m", "sse_check", "judge", str(path), "--report-dir", str(report), "--fail-on", "never"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return report


def take(browser: "Browser", run: str, report: Path, directory: Path) -> Iterator[Path]:
    """Every picture of a report, as it is taken."""
    write_page((report / "summary.md").read_text(encoding="utf-8"), page := report / "summary.html")
    for version, device, scheme in product(MERMAIDS, DEVICES, SCHEMES):
        with shown(browser, page, device, scheme) as summary:
            draw(summary, version, scheme)
            summary.screenshot(path := directory / f"{run}-summary-mermaid{version}-{device.name}-{scheme}.png")
            yield path
    if not (report / "report.html").exists():
        return
    for device, scheme in product(DEVICES, SCHEMES):
        with shown(browser, report / "report.html", device, scheme) as html:
            html.screenshot(path := directory / f"{run}-html-{device.name}-{scheme}.png")
            yield path


def take_for_readme(browser: "Browser", report: Path, directory: Path) -> Iterator[Path]:
    """The top of both reports as the README shows them."""
    write_page((report / "summary.md").read_text(encoding="utf-8"), page := report / "summary.html")
    with shown(browser, page, DESKTOP, "light") as summary:
        draw(summary, 11, "light")
        summary.screenshot(path := directory / "summary.png", height=990)
        yield path
    with shown(browser, report / "report.html", DESKTOP, "light") as html:
        html.screenshot(path := directory / "report.png", height=1_400)
        yield path


def main() -> None:
    """Take the pictures that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.pictures", description="Pictures of the reports of six runs.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", choices=RUNS, metavar="RUN", help=f"one of {', '.join(RUNS)}")
    parser.add_argument("--readme", action="store_true", help="only the two of the README: docs/pictures")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        if arguments.readme:
            print(*take_for_readme(browser, report_of("buffered", Path(scratch)), arguments.directory), sep="\n")
            return
        for run in [arguments.only] if arguments.only else RUNS:
            for path in take(browser, run, report_of(run, Path(scratch)), arguments.directory):
                print(path)


if __name__ == "__main__":
    main()
