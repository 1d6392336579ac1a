"""Every slot that a stranger fills, with every attack, and what comes out at every exit: the real action and command line as processes.

A run asks each slot once, each with another attack; as many runs as there are attacks ask all of them.
"""

import asyncio
import base64
import os
import pty
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import yaml

from tests.hostile import readers, saturated
from tests.hostile.attacks import ATTACKS, mark, marked, one_line
from tests.hostile.origin import CONVERSATIONS, SECURED, STREAMS, Origin, origin
from tests.hostile.row import Row
from tests.support.process import COMMAND, ROOT
from tests.support.unseen import unseen_in

NAMES: Final = list(ATTACKS)
_STEP: Final = 5  # from the attack of one slot to that of the next
_PATIENCE_S: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What came out of a run: of each exit the text, and what its reader complains of. `status` is the exit status."""

    status: int
    texts: dict[str, str]
    complaints: dict[str, list[str]] = field(default_factory=dict)

    @property
    def bad(self) -> dict[str, list[str]]:
        """The exits with complaints."""
        return {name: found for name, found in self.complaints.items() if found}

    def marks(self, name: str) -> int:
        """How many of the attacks have left their mark at an exit."""
        return sum(mark(attack) in self.texts[name] for attack in NAMES)


# --- a scenario from a fork, of the hostile server --------------------------------------------------------------------


def attack_of(number: int, place: int) -> str:
    """Which attack the slot at this place gets in the run of this number."""
    return NAMES[(number + _STEP * place) % len(NAMES)]


def scenario_of(servers: Origin, number: int, ca: Path) -> str:
    """A scenario that asks every slot, and whose own names are attacks as well."""
    probes: list[dict[str, Any]] = []
    for place, slot in enumerate((*STREAMS, *SECURED)):
        attack = attack_of(number, place) if slot in STREAMS else attack_of(number, 0)
        text = marked(attack).decode("utf-8", "replace")
        probe: dict[str, Any] = {"name": f"{slot} {text[:120]}", "timeout": "1500ms", "headers": {"X-Sent": _value(attack)}}
        if slot in STREAMS:
            probe["path"] = f"/{slot}/{NAMES.index(attack)}/?{_in_url(text)}"
        else:
            probe["url"] = f"{servers.secured[slot]}/{_in_url(text)}"
        if slot.startswith("h2"):
            probe["protocol"] = "h2"
        if slot in CONVERSATIONS:
            probe |= {"preset": CONVERSATIONS[slot], "body": {"name": text[:100]}}
        elif slot == "stream":
            probe |= {"until": {"event": text[:100] or "x"}, "instance": {"header": "X-Instance"}}
        probes.append(probe)
    tried = [NAMES.index(attack_of(number, place)) for place in range(5)]
    wanted = marked(attack_of(number, 0)).decode("utf-8", "replace")[:60]
    scenario = yaml.safe_dump(
        {
            "version": 1,
            "name": marked(attack_of(number, 1)).decode("utf-8", "replace")[:150],
            "target": {"url": servers.base, "tls": {"ca": ca.name}, "health": f"/health/{tried[2]}"},
            "criteria": {"event_deadline": "2s"},
            "follow_up": False,
            "probes": probes,
            "fallbacks": [
                {"websocket": {"path": f"/socket-closes/{tried[0]}", "send": wanted, "expect": "never"}},
                {"websocket": {"path": f"/socket-says/{tried[1]}", "send": "x", "expect": wanted + "never"}},
                {"websocket": {"path": f"/socket-refuses/{tried[2]}"}},
                {"batch": {"path": f"/batch/{tried[3]}"}},
                {"batch": {"path": f"/batch-not-http/{tried[4]}", "expect": wanted}},
            ],
        },
        width=1_000_000,
    )
    return scenario.replace("${", "$${")


def _value(attack: str) -> str:
    """As a header's value in a scenario, which may hold no control character."""
    return "".join(char for char in one_line(marked(attack)).decode("utf-8", "replace") if char.isprintable()).strip()[:200] or "x"


def _in_url(text: str) -> str:
    """As part of a URL in a scenario."""
    return "".join(char for char in text if char.isprintable() and char not in ' "<>\\^`{|}#$@[]')[:100]


# --- a monitor that is hostile as well --------------------------------------------------------------------------------


@contextmanager
def monitor(attack: bytes) -> Iterator[tuple[str, dict[str, bytes]]]:
    """A Pushgateway and OTLP receiver in one, which answers with an attack; its base URL, and what it got by its path."""
    got: dict[str, bytes] = {}
    head = one_line(attack)[:500].decode("latin-1")

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            got[self.path] = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.wfile.write(f"HTTP/1.1 500 {head}\r\nX: {head}\r\nContent-Length: {len(attack)}\r\n\r\n".encode("latin-1") + attack)
            self.close_connection = True

        do_POST = do_PUT

        def log_message(self, *_: object) -> None:
            """Nothing is written beside a test's result."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", got
        finally:
            server.shutdown()
            thread.join()


def _grouping(path: str) -> str:
    """The labels of a path of the Pushgateway, as text (pushgateway, README, "URL")."""
    parts = path.split("/")[2:]
    return "\n".join(
        base64.urlsafe_b64decode(value + "==").decode() if name.endswith("@base64") else unquote(value)
        for name, value in zip(parts[::2], parts[1::2], strict=True)
    )


# --- the ways to run it -----------------------------------------------------------------------------------------------


def _environment(servers: Origin, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "INPUT_", "RUNNER_", "SSE_CHECK_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "HTTPS_PROXY": servers.base, "NO_PROXY": "127.0.0.1", **more}


async def by_action(directory: Path, servers: Origin, number: int, ca: Path) -> Left:
    """The action's own door, with debug logging and both monitors; every file that the runner hands in, and every one that is left."""
    workspace, runner = directory / "workspace", directory / "runner"
    (workspace / ".github").mkdir(parents=True)
    runner.mkdir()
    (workspace / ca.name).write_bytes(ca.read_bytes())
    (workspace / ".github/sse-check.yml").write_text(scenario_of(servers, number, ca), encoding="utf-8")
    files = {name: runner / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE")}
    for file in files.values():
        file.touch()
    declared = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"]
    inputs = {f"INPUT_{name.upper()}": spec.get("default", "") for name, spec in declared.items()}
    with monitor(marked(attack_of(number, 0))) as (base, got):
        env = _environment(servers, GITHUB_ACTIONS="true", RUNNER_DEBUG="1", GITHUB_WORKSPACE=str(workspace), SSE_CHECK_PUSHGATEWAY=base, SSE_CHECK_OTLP=base, HOME=str(directory), TMPDIR=str(directory))  # fmt: skip
        env |= {**{name: str(file) for name, file in files.items()}, **inputs}
        status, log, errors = await _ran([sys.executable, str(ROOT / "entrypoint.py")], workspace, env)
    reports = workspace / "sse-check-report"
    assert {path for path in directory.rglob("*") if path.is_file()} == {
        *files.values(), workspace / ca.name, workspace / ".github/sse-check.yml", *(reports / name for name in readers.FILES)
    }, "a file that nobody knows how to read"  # fmt: skip
    pushed = {"OTLP" if path == "/v1/metrics" else "Pushgateway": (path, body) for path, body in got.items()}
    assert set(pushed) == {"OTLP", "Pushgateway"}
    grouping, body = _grouping(pushed["Pushgateway"][0]), pushed["Pushgateway"][1].decode()
    read = {name: file.read_text(encoding="utf-8") for name, file in files.items()}
    return _left(
        status,
        reports,
        {"log": log, "stderr": errors, **read, "Pushgateway": f"{grouping}\n{body}", "OTLP": pushed["OTLP"][1].decode()},
        {
            "log": readers.log(log, action=True),
            "stderr": iter([errors] if errors else []),
            "GITHUB_OUTPUT": readers.outputs(read["GITHUB_OUTPUT"]),
            "GITHUB_STEP_SUMMARY": readers.markdown(read["GITHUB_STEP_SUMMARY"]),
            **{name: iter([read[name]] if read[name] else []) for name in ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE")},
            "Pushgateway": _pushed(grouping, body),
            "OTLP": readers.otlp(pushed["OTLP"][1]),
        },
    )


def _pushed(grouping: str, body: str) -> Iterator[str]:
    yield from (f"unseen in a label: {char}" for char in unseen_in(grouping.replace("\n", "")))
    yield from readers.metrics(body if body.endswith("# EOF\n") else body + "# EOF\n")


def _left(status: int, reports: Path, texts: dict[str, str], read: dict[str, Iterator[str]]) -> Left:
    complaints = {name: readers.first(said) for name, said in read.items()} | readers.report_dir(reports)
    texts |= {name: (reports / name).read_text(encoding="utf-8") for name in readers.FILES}
    return Left(status=status, texts=texts, complaints=complaints)


async def by_command(directory: Path, servers: Origin, number: int, ca: Path) -> Left:
    """The command line into pipes, and `judge` of what it recorded, which prints JSON."""
    file = _scenario(directory, servers, number, ca)
    status, out, errors = await _ran([*COMMAND, "run", file.name, "--report-dir", "reports"], directory, _environment(servers))
    _, printed, said = await _ran([*COMMAND, "judge", "reports/recording.ndjson", "--format", "json"], directory, _environment(servers))
    return _left(
        status,
        directory / "reports",
        {"stdout": out, "stderr": errors, "stdout of judge": printed},
        {
            "stdout": readers.log(out, action=False),
            "stderr": readers.log(errors, action=False),
            "stdout of judge": readers.json_output(printed),
            "stderr of judge": readers.log(said, action=False),
        },
    )


async def by_terminal(directory: Path, servers: Origin, number: int, ca: Path) -> Left:
    """The command line on a terminal, with the live table and colours."""
    file = _scenario(directory, servers, number, ca)
    ours, its = pty.openpty()
    shown = bytearray()

    def look() -> None:
        try:
            while data := os.read(ours, 65536):
                shown.extend(data)
        except OSError:
            pass  # the terminal is gone

    watching = threading.Thread(target=look)
    watching.start()
    try:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "run", file.name, "--report-dir", "reports", cwd=directory, env=_environment(servers, TERM="xterm-256color", COLUMNS="200"), stdin=its, stdout=its, stderr=its
        )  # fmt: skip
        status = await asyncio.wait_for(process.wait(), _PATIENCE_S)
    finally:
        os.close(its)
        await asyncio.to_thread(watching.join)
        os.close(ours)
    text = shown.decode("utf-8", "replace")
    assert status in (0, 1, 3), f"no verdict, but status {status}: {text[-1000:]!a}"
    return _left(status, directory / "reports", {"terminal": text}, {"terminal": readers.terminal(text)})


def _scenario(directory: Path, servers: Origin, number: int, ca: Path) -> Path:
    (directory / ca.name).write_bytes(ca.read_bytes())
    file = directory / "scenario.yml"
    file.write_text(scenario_of(servers, number, ca), encoding="utf-8")
    return file


async def _ran(command: list[str], directory: Path, env: dict[str, str]) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=directory, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, errors = await asyncio.wait_for(process.communicate(), _PATIENCE_S)
    said = out.decode() + errors.decode()
    assert process.returncode in (0, 1, 3), f"no verdict, but status {process.returncode}: {said[:1000]!a} … {said[-1000:]!a}"
    return process.returncode, out.decode(), errors.decode()


Way = Callable[[Path, Origin, int, Path], Any]
# Each with which of the runs the table makes: the action's ask every slot with every attack.
WAYS: Final[dict[str, tuple[Way, int]]] = {"action": (by_action, 1), "command line": (by_command, 5), "terminal": (by_terminal, 10)}


@asynccontextmanager
async def left_by(way: Way, number: int) -> AsyncIterator[Left]:
    """What one run leaves, with its files while the context lasts."""
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made).resolve()
        (directory / "run").mkdir()
        async with origin(attack_of(number, 0), directory / "ca.pem") as servers:
            yield await way(directory / "run", servers, number, directory / "ca.pem")


# --- the table --------------------------------------------------------------------------------------------------------


def rows() -> Iterator[Row]:
    """Each exit, with how many runs reached it, and how many of the attacks were seen there."""
    yield _saturated()
    for name, (way, each) in WAYS.items():
        seen: Counter[str] = Counter()
        marks: dict[str, set[str]] = {}
        bad: dict[str, list[str]] = {}
        for left in asyncio.run(_all(way, range(0, len(NAMES), each))):
            for place, found in left.complaints.items():
                seen[place] += 1
                bad.setdefault(place, []).extend(found)
                marks.setdefault(place, set()).update(one for one in NAMES if mark(one) in left.texts.get(place, ""))
        for place in seen:
            said = f"read after {seen[place]} runs, {len(marks[place])} of {len(NAMES)} attacks came there as text"
            if bad[place]:
                said += f"; {len(bad[place])} complaints, the first: {ascii(bad[place][0])[:150].replace('|', '/')}"
            yield Row(
                part="exits",
                attempt=f"{len(STREAMS) + len(SECURED) + 7} slots of a server by {len(NAMES)} attacks, {name}: {place}",
                seen=said,
                held=not bad[place],
            )


async def _all(way: Way, numbers: Iterable[int]) -> list[Left]:
    """Runs of one way, two at a time."""
    places = asyncio.Semaphore(2)

    async def one(number: int) -> Left:
        async with places, left_by(way, number) as left:
            return left

    return list(await asyncio.gather(*map(one, numbers)))


def _saturated() -> Row:
    exits: Counter[str] = Counter()
    bad: list[str] = []
    for number, name in enumerate(NAMES):
        for place, found in saturated.complaints(marked(name).decode("utf-8", "replace"), number).items():
            exits[place] += 1
            bad += found
    return Row(
        part="exits",
        attempt=f"a report in which every text is one of {len(NAMES)} attacks",
        seen=f"{sum(exits.values())} renderings at {len(exits)} exits read, {len(bad)} complaints",
        held=not bad,
    )
