"""What becomes of what was measured: kills, full disks, directories that vanish, links, and two runs in one place.

Each case is a real process that something happens to. It gives a line of the table; `tests/test_faults_files.py` asserts that each held.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from sse_check.pipeline import Checked, publish, rejudge
from sse_check.recording import Recording, RecordingError, from_lines
from sse_check.report import build_report
from sse_check.reportdir import ReportDir
from tests.hostile.row import Row
from tests.support.process import COMMAND, ROOT, serving, sse_check
from tests.support.runner import read_outputs
from tests.support.streams import every, recording, stream

REPORTS: Final = ("recording.ndjson", "report.json", "summary.md", "report.html", "junit.xml", "metrics.prom")
ACTION: Final = [sys.executable, str(ROOT / "entrypoint.py")]
SHORT: Final = "/events?count=3&every=50ms"
LONG: Final = "/events?count=60&every=50ms"  # three seconds: time for something to happen meanwhile
ENDLESS: Final = "/events?count=0&every=20ms"

Case = Callable[[str, Path], Row]
CASES: dict[str, Case] = {}


def case(attempt: str) -> Callable[[Callable[[str, Path], tuple[str, bool]]], Case]:
    """Register a case: a function of a server's address and an empty directory that says what was seen, and whether it held."""

    def register(function: Callable[[str, Path], tuple[str, bool]]) -> Case:
        def tried(base: str, directory: Path) -> Row:
            seen, held = function(base, directory)
            return Row(part="files", attempt=attempt, seen=seen.replace("|", "/").replace("\n", " "), held=held)

        CASES[function.__name__] = tried
        return tried

    return register


def rows() -> Iterator[Row]:
    """Every case, on a server of its own."""
    with serving() as base:
        for tried in CASES.values():
            with tempfile.TemporaryDirectory() as directory:
                yield tried(base, Path(directory))


# --- what the cases share ---------------------------------------------------------------------------------------------


def scenario(directory: Path, url: str, *, streams: int = 1) -> str:
    """A scenario of one probe, as a file."""
    (directory / "s.yml").write_text(
        f"version: 1\nfollow_up: false\nprobes: [{{name: a, url: '{url}', streams: {streams}, until: {{event: complete}}, timeout: 30s}}]\n"
    )
    return "s.yml"


def started(
    args: Sequence[str], directory: Path, *, env: Mapping[str, str] | None = None, file_size: int | None = None, **streams: Any
) -> "subprocess.Popen[str]":
    """sse-check, begun; no file that it writes may be larger than `file_size` bytes (RLIMIT_FSIZE: the write fails with EFBIG)."""

    def limit() -> None:
        if file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, resource.RLIM_INFINITY))

    own = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "INPUT_"))}
    return subprocess.Popen(
        args, cwd=directory, env={**own, "PYTHONPATH": str(ROOT), **(env or {})}, preexec_fn=limit, text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )  # fmt: skip


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Its status, and what it said."""
    said, errors = process.communicate(timeout=60)
    return process.returncode, said or "", errors or ""


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something; it is an error where it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("what was waited for did not come")
        time.sleep(0.02)


def beats(path: Path) -> int:
    """How many rounds over its streams a run has written."""
    try:
        return path.read_bytes().count(b'{"record":"beat"')
    except OSError:
        return 0


def read(path: Path) -> Recording:
    with path.open("rb") as lines:
        return from_lines(lines, file=path.name)


def half_written(directory: Path) -> list[str]:
    """Files of a report directory that are not whole, and names that should not be there."""
    wrong = [path.name for path in directory.iterdir() if path.name not in (*REPORTS, "recording.before.ndjson")]
    checks: dict[str, Callable[[Path], Any]] = {
        "report.json": lambda path: json.loads(path.read_bytes()),
        "junit.xml": lambda path: ElementTree.fromstring(path.read_bytes()),
        "report.html": lambda path: path.read_bytes().rstrip().endswith(b"</html>") or 1 / 0,
        "metrics.prom": lambda path: path.read_bytes().endswith(b"# EOF\n") or 1 / 0,
        "recording.ndjson": read,
    }
    for name, check in checks.items():
        if (directory / name).exists():
            try:
                check(directory / name)
            except (ValueError, ElementTree.ParseError, ZeroDivisionError, RecordingError):
                wrong.append(name)
    return wrong


def an_earlier_run(directory: Path) -> None:
    """The reports of a viable run that was here before."""
    value = recording(stream(every(0.1, 10)))
    with ReportDir(directory) as report_dir:
        publish(Checked(recording=value, report=build_report(value)), report_dir)


def run_with(directory: Path, url: str, *more: str, **given: Any) -> "subprocess.Popen[str]":
    """`sse-check run` of one stream, its reports in `r`."""
    return started([*COMMAND, "run", scenario(directory, url), "--report-dir", "r", *more], directory, **given)


def action_with(directory: Path, url: str, *, env: Mapping[str, str], **given: Any) -> "subprocess.Popen[str]":
    """The action, in a workspace."""
    workspace = directory / "workspace"
    workspace.mkdir(exist_ok=True)
    scenario(workspace, url)
    known = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(workspace), "INPUT_SCENARIO": "s.yml"}
    return started(ACTION, workspace, env={**known, **env}, **given)


# --- kills ------------------------------------------------------------------------------------------------------------


@case("SIGKILL half way, in a directory with the reports of an earlier run; then a third run")
def killed(base: str, directory: Path) -> tuple[str, bool]:
    an_earlier_run(directory / "r")
    process = run_with(directory, base + ENDLESS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = directory / "r/recording.ndjson"
    until(lambda: beats(journal) >= 2)
    process.kill()
    at = time.time()
    process.wait(10)
    left = sorted(path.name for path in (directory / "r").iterdir())
    [stream] = read(journal).streams
    lost = at - (stream.sent_at + stream.events.at_ns[-1] / 1e9)
    judged = sse_check("judge", "r/recording.ndjson", "--format", "json", cwd=directory)
    earlier = rejudge([directory / "r/recording.before.ndjson"], None).result.verdict
    third, _, _ = ended(run_with(directory, base + SHORT))
    now = sorted(path.name for path in (directory / "r").iterdir())
    held = (
        (judged.returncode, earlier, third) == (3, "viable", 0)
        and json.loads(judged.stdout)["interrupted"] == "the recording is not complete"
        and (stream.ended, stream.reason) == ("timeout", "interrupted")
        and lost < 3
        and left == ["recording.before.ndjson", "recording.ndjson"]
        and now == sorted(REPORTS)
    )
    return (
        f"{len(stream.events)} events are readable, the last {lost:.2f} s before the kill; judge ends with {judged.returncode}; "
        f"the earlier recording is kept, no earlier report is left; the third run ends with {third}"
    ), held


@case("SIGKILL while the second of two groups of streams is open")
def killed_in_a_later_phase(base: str, directory: Path) -> tuple[str, bool]:
    (directory / "s.yml").write_text(
        f"version: 1\nprobes:\n- {{name: one, url: '{base}{SHORT}', until: {{event: complete}}}}\n"
        f"- {{name: three, url: '{base}{ENDLESS}', streams: 3}}\n"
    )
    process = started([*COMMAND, "run", "s.yml", "--report-dir", "r"], directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = directory / "r/recording.ndjson"
    until(lambda: beats(journal) >= 2)
    process.kill()
    process.wait(10)
    streams = [(s.probe, s.stream, s.ended, len(s.events) > 0) for s in read(journal).streams]
    held = streams == [("one", 1, "until", True), *(("three", number, "timeout", True) for number in (1, 2, 3))]
    return f"streams in the file: {', '.join(f'{probe} #{number} {end}' for probe, number, end, _ in streams)}", held


@case("a defect of sse-check itself half way")
def defect(base: str, directory: Path) -> tuple[str, bool]:
    code = (
        "import asyncio, sys\n"
        "async def broken(*_):\n    await asyncio.sleep(1.6)\n    raise RuntimeError('broken')\n"
        "import sse_check.schedule as s\nreal = s._together\n"
        "async def both(*a):\n    await asyncio.gather(real(*a), broken())\n"
        "s._together = both\nfrom sse_check.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    process = started(
        [sys.executable, "-c", code, "run", scenario(directory, base + LONG), "--report-dir", "r"], directory, stdout=subprocess.DEVNULL
    )
    status, _, said = ended(process)
    verdict = rejudge([directory / "r/recording.ndjson"], None).result.verdict
    held = (status, verdict) == (70, "inconclusive") and "sse-check judge r/recording.ndjson" in said
    return f"status {status}, which names the file; judge of it says {verdict}", held


# --- a disk that is full ----------------------------------------------------------------------------------------------


@case("no room for any report: 100 bytes a file")
def no_room(base: str, directory: Path) -> tuple[str, bool]:
    an_earlier_run(directory / "r")
    before = {name: (directory / "r" / name).read_bytes() for name in REPORTS}
    status, said, errors = ended(run_with(directory, base + LONG, file_size=100))
    same = {name: (directory / "r" / name).read_bytes() for name in REPORTS} == before
    held = status == 0 and same and "viable" in said and "File too large" in errors and "Traceback" not in errors
    return f"status {status}, the verdict is told; {errors.strip().splitlines()[-1]}; the earlier reports are whole and of one run", held


@case("room for some reports: 6,000 bytes a file, over an earlier run")
def little_room(base: str, directory: Path) -> tuple[str, bool]:
    an_earlier_run(directory / "r")
    status, _, errors = ended(run_with(directory, base + LONG, file_size=6000))
    left = sorted(path.name for path in (directory / "r").iterdir())
    wrong = half_written(directory / "r")
    held = status == 0 and not wrong and "report.html" not in left and "report.html could not be written: File too large" in errors
    return f"status {status}; whole and of this run: {', '.join(left)}; half written: {len(wrong)}", held and "Traceback" not in errors


@case("the result to a full disk: stdout is /dev/full")
def full_stdout(base: str, directory: Path) -> tuple[str, bool]:
    with Path("/dev/full").open("w") as full:
        status, _, errors = ended(run_with(directory, base + SHORT, "--format", "json", stdout=full))
    held = status == 0 and "stdout: the result could not be written: No space left on device" in errors and "Traceback" not in errors
    return f"status {status} (the verdict's); {errors.strip().splitlines()[-1]}", held


@case("a schema to a full disk")
def full_schema(base: str, directory: Path) -> tuple[str, bool]:
    with Path("/dev/full").open("w") as full:
        status, _, errors = ended(started([*COMMAND, "schema"], directory, stdout=full))
    return f"status {status}; {errors.strip().splitlines()[-1]}", status == 2 and "No space left" in errors and "Traceback" not in errors


@case("nobody reads stdout or stderr (EPIPE), or both are closed or full")
def nobody_listens(base: str, directory: Path) -> tuple[str, bool]:
    running = []
    scenario(directory, base + "/events?fault=http-error")
    for number, streams in enumerate(("| true", ">&- 2>&-", ">/dev/full 2>/dev/full")):
        line = f'"{sys.executable}" -m sse_check run s.yml --report-dir {number}'
        shell = f"({line} 2>&1; echo $? >status-{number}) {streams}" if number == 0 else f"{line} {streams}; echo $? >status-{number}"
        running.append(started(["sh", "-c", shell], directory))
    for process in running:
        ended(process)
    statuses = [(directory / f"status-{number}").read_text().strip() for number in range(3)]
    wrong = [name for number in range(3) for name in half_written(directory / str(number))]
    return f"status {', '.join(statuses)} (not viable); half written: {len(wrong)} files", (statuses, wrong) == (["1", "1", "1"], [])


# --- the report directory ---------------------------------------------------------------------------------------------


def _meanwhile(base: str, directory: Path, happens: Callable[[], None]) -> tuple[int, str, str]:
    """A run in `p/r` to which something happens once it has begun to write."""
    process = started([*COMMAND, "run", scenario(directory, base + LONG), "--report-dir", "p/r"], directory)
    until(lambda: beats(directory / "p/r/recording.ndjson") >= 1)
    happens()
    return ended(process)


@case("the report directory is removed half way")
def removed(base: str, directory: Path) -> tuple[str, bool]:
    status, _, errors = _meanwhile(base, directory, lambda: shutil.rmtree(directory / "p/r"))
    left = sorted(path.name for path in (directory / "p/r").iterdir())
    return f"status {status}; made again, with {len(left)} files", (status, left) == (0, sorted(REPORTS)) and "Traceback" not in errors


@case("the directory above is removed half way")
def parent_removed(base: str, directory: Path) -> tuple[str, bool]:
    status, _, errors = _meanwhile(base, directory, lambda: shutil.rmtree(directory / "p"))
    left = sorted(path.name for path in (directory / "p/r").iterdir())
    return f"status {status}; made again, with {len(left)} files", (status, left) == (0, sorted(REPORTS)) and "Traceback" not in errors


@case("a file takes the place of the report directory half way")
def replaced_by_a_file(base: str, directory: Path) -> tuple[str, bool]:
    def happens() -> None:
        shutil.rmtree(directory / "p/r")
        (directory / "p/r").write_text("mine")

    status, said, errors = _meanwhile(base, directory, happens)
    last = errors.strip().splitlines()[-1]
    held = status == 0 and (directory / "p/r").read_text() == "mine" and "could not be written" in last and "Traceback" not in errors
    return f"status {status}, the verdict is told; {last}", held and "viable" in said


@case("a link to elsewhere takes the place of the report directory half way; of its parent")
def replaced_by_a_link(base: str, directory: Path) -> tuple[str, bool]:
    found = []
    for what in ("p/r", "p"):
        outside = directory / f"outside-{what.count('/')}"
        outside.mkdir()

        def happens(what: str = what, outside: Path = outside) -> None:
            (directory / what).rename(directory / f"away-{what.count('/')}")
            (directory / what).symlink_to(outside)

        status, _, errors = _meanwhile(base, directory, happens)
        found.append((status, list(outside.rglob("*")), "a link has taken its place" in errors, "Traceback" in errors))
        (directory / what).unlink()
    return f"status {found[0][0]} and {found[1][0]}; written beyond the link: {sum(len(f[1]) for f in found)} files", found == [
        (0, [], True, False)
    ] * 2


@case("a checkout with links in the report directory, from each report to a file outside the workspace")
def links_of_a_checkout(base: str, directory: Path) -> tuple[str, bool]:
    reports = directory / "workspace/sse-check-report"
    reports.mkdir(parents=True)
    (directory / "outside").mkdir()
    for name in REPORTS:
        (directory / "outside" / name).write_text("precious")
        (reports / name).symlink_to(directory / "outside" / name)
    status, _, _ = ended(action_with(directory, base + SHORT, env={}))
    untouched = all((directory / "outside" / name).read_text() == "precious" for name in REPORTS)
    real = [name for name in REPORTS if (reports / name).is_file() and not (reports / name).is_symlink()]
    return f"status {status}; {len(real)} reports are files of the workspace; outside untouched: {untouched}", untouched and (
        status,
        len(real),
        half_written(reports),
    ) == (0, 6, [])


@case("a checkout whose report directory is a link out of the workspace")
def link_of_a_checkout(base: str, directory: Path) -> tuple[str, bool]:
    (directory / "outside").mkdir()
    (directory / "workspace").mkdir()
    (directory / "workspace/sse-check-report").symlink_to(directory / "outside")
    status, said, _ = ended(action_with(directory, base + SHORT, env={}))
    written = list((directory / "outside").iterdir())
    return f"status {status}, outside the workspace; written there: {len(written)} files", (status, written) == (2, []) and (
        "outside the workspace" in said
    )


# --- two runs ---------------------------------------------------------------------------------------------------------


@case("a second run in the directory of one that is under way")
def second_run(base: str, directory: Path) -> tuple[str, bool]:
    first = run_with(directory, base + ENDLESS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: beats(directory / "r/recording.ndjson") >= 1)
    status, _, errors = ended(started([*COMMAND, "probe", "http://127.0.0.1:9/", "--report-dir", "r"], directory))
    first.terminate()
    one, _, _ = ended(first)
    held = (one, status) == (143, 2) and "another run of sse-check writes its reports to it" in errors and not half_written(directory / "r")
    return f"status {status} before anything is sent: {errors.strip()}; the first goes on, up to SIGTERM ({one})", held


@case("two runs in one directory of a file system without locks")
def without_locks(base: str, directory: Path) -> tuple[str, bool]:
    code = (
        "import fcntl, sys\ndef none(*_): raise OSError(37, 'No locks available')\nfcntl.flock = none\n"
        "from sse_check.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    scenario(directory, base + LONG)
    both = [started([sys.executable, "-c", code, "run", "s.yml", "--report-dir", "r"], directory) for _ in range(2)]
    statuses = [ended(process)[0] for process in both]
    wrong = half_written(directory / "r")
    return f"status {statuses[0]} and {statuses[1]}; half written: {len(wrong)} files", (statuses, wrong) == ([0, 0], [])


# --- the runner's files -----------------------------------------------------------------------------------------------


@case("GITHUB_OUTPUT and GITHUB_STEP_SUMMARY not set, a directory, full, below a file, in a directory that is gone")
def runners_files(base: str, directory: Path) -> tuple[str, bool]:
    (directory / "file").touch()
    places = [None, str(directory), "/dev/full", f"{directory}/file/output", f"{directory}/gone/output"]
    running = []
    for number, place in enumerate(places):
        env = {} if place is None else {"GITHUB_OUTPUT": place, "GITHUB_STEP_SUMMARY": place}
        running.append(action_with(directory, base + "/events?fault=http-error", env={**env, "INPUT_REPORT-DIR": str(number)}))
    found = [ended(process) for process in running]
    statuses = [status for status, _, _ in found]
    told = ["GITHUB_OUTPUT: the outputs could not be written" in said and "GITHUB_STEP_SUMMARY: " in said for _, said, _ in found]
    held = statuses == [1] * 5 and told == [False, True, True, True, True] and not any("Traceback" in s + e for _, s, e in found)
    return f"status {', '.join(map(str, statuses))} (not viable); told: {sum(told)} of 4", held


@case("GITHUB_OUTPUT is full in the middle of the last outputs")
def half_outputs(base: str, directory: Path) -> tuple[str, bool]:
    output = directory / "output"
    output.write_text("x=" + "y" * 98_000 + "\n")  # of others; the limit leaves room for the first outputs, not for the last
    process = action_with(directory, base + SHORT, env={"GITHUB_OUTPUT": str(output)}, file_size=100_000)
    status, said, errors = ended(process)
    outputs = read_outputs(output.read_text())  # fails on half a value, as the runner does
    held = status == 0 and outputs["streaming_enabled"] == "false" and "File too large" in said and "Traceback" not in said + errors
    return f"status {status}; the outputs are whole and shut: streaming_enabled={outputs['streaming_enabled']}; the log says why", held


@case("the action's log goes to a full disk, or nowhere")
def full_log(base: str, directory: Path) -> tuple[str, bool]:
    found = []
    for place in ("/dev/full", None):
        output = directory / "output"
        output.write_text("")
        with Path(place or os.devnull).open("w") as out:
            process = action_with(directory, base + SHORT, env={"GITHUB_OUTPUT": str(output)}, stdout=out if place else subprocess.PIPE)
            if process.stdout is not None:
                process.stdout.close()
                process.stdout = None
            status, _, errors = ended(process)
        found.append((status, read_outputs(output.read_text())["streaming_enabled"], "Traceback" in errors))
    return f"status {found[0][0]} and {found[1][0]}, streaming_enabled={found[0][1]}", found == [(0, "true", False)] * 2


@case("the whole workspace vanishes half way through the action")
def workspace_gone(base: str, directory: Path) -> tuple[str, bool]:
    output = directory / "output"
    process = action_with(directory, base + LONG, env={"GITHUB_OUTPUT": str(output)})
    until(lambda: beats(directory / "workspace/sse-check-report/recording.ndjson") >= 1)
    shutil.rmtree(directory / "workspace")
    status, said, errors = ended(process)
    outputs = read_outputs(output.read_text())
    held = status == 0 and outputs["streaming_enabled"] == "true" and "Traceback" not in said + errors
    return f"status {status}, streaming_enabled={outputs['streaming_enabled']}, report: {outputs['report'] or 'none'}", held
