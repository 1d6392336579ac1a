"""One client, one group of streams: what it cost, what it received, and how late its stamps were."""

import array
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import TOOL
from benchmarks.processes import HERE, ROOT, BenchError, Server, Used, ended, resident_kib, run

OBVIOUS: Final = "obvious loop"
LINES: Final = "its lines only"
HTTPX: Final = "httpx-sse"
AIPERF: Final = "aiperf"
C_KERNEL: Final = "C, kernel's stamps"
C_OWN: Final = "C, own clock"
# The peers' own environment, which `make bench` sets up (requirements/bench.txt).
PEERS: Final = ROOT / ".venv/bench/bin/python"
_SETTLED_S: Final = 1.0  # after the last stream was opened, before the memory is read
_SCRIPTS: Final = {OBVIOUS: "obvious.py", LINES: "obvious.py", HTTPX: "with_httpx_sse.py", AIPERF: "with_aiperf.py"}

_SCENARIO: Final = """\
version: 1
name: benchmark
target: {{url: "{url}"{tls}}}
criteria: {{event_deadline: 1h, first_event: 1h}}
follow_up: false
budget: 1h
probes:
  - {{name: streams, path: /events, until: {{event: complete}}, timeout: 1h, streams: {streams}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a group of streams is sent: `count` events each, one every `every_s`, as server.c calls the shapes."""

    streams: int
    count: int = 0
    every_s: float = 0.0
    shape: str = "full"

    @property
    def events(self) -> int:
        """All events of the group."""
        return self.streams * self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run of one client.

    `lost` counts events that were sent and not received, and streams that did not end as they should. `errors` has the
    timing error of each event in ns, `stated` what the recording says it may be, in the same order; empty where it was not
    asked for, or is not said. `recording_s` is the CPU of receiving and recording: of sse-check without its start, its judgement
    and its reports, of the others all that they do. `idle_kib` is the memory of the process while its streams were held.
    """

    used: Used
    recording_s: float
    lost: int
    errors: "array.array[int]"
    stated: "array.array[int]"
    idle_kib: int


class Bench:
    """The servers, the scratch directory and the programs of a run."""

    def __init__(self, scratch: Path, plain: Server, tls: Server | None, ca: Path | None, peers: Path) -> None:
        """All of them are the caller's to end."""
        self._scratch, self._plain, self._tls, self._ca, self._peers = scratch, plain, tls, ca, peers

    @property
    def has_tls(self) -> bool:
        """Whether there is a server that speaks TLS."""
        return self._tls is not None

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A path for a file that is gone afterwards."""
        path = self._scratch / name
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def sample(self, client: str, load: Load, *, tls: bool = False, errors: bool = False) -> Sample:
        """Let a client take a group of streams. With `errors` it says how late each event's stamp was.

        Raises BenchError where the client fails.
        """
        server = self._tls if tls and self._tls else self._plain
        held = load.shape == "hold"
        address = server.group(load.streams, load.count, load.every_s, load.shape)
        file = self._scratch / "errors"
        command, environment = self._command(client, f"{address}:{server.port}", load.streams, tls=tls, errors=file if errors else None)
        memory: list[int] = []

        def hold(pid: int) -> None:
            while server.stats()["open"] < load.streams and not ended(pid):
                time.sleep(0.02)
            time.sleep(_SETTLED_S)
            if not ended(pid):
                memory.append(resident_kib(pid))
            server.release()

        used = run(command, environment=environment, meanwhile=hold if held else None)
        sent = server.stats()
        counts, late, stated = self._counts(client, used, file if errors else None)
        return Sample(
            used=used,
            recording_s=counts.get("recording_s", used.cpu_s),
            lost=abs(sent["sent"] - counts["events"]) + abs(load.streams - counts["complete"]),
            errors=late,
            stated=stated,
            idle_kib=memory[0] if memory else 0,
        )

    def _command(self, client: str, authority: str, streams: int, *, tls: bool, errors: Path | None) -> tuple[list[str], dict[str, str]]:
        url = f"{'https' if tls else 'http'}://{authority}"
        if client == TOOL:
            scenario = self._scratch / "scenario.yml"
            trusted = f', tls: {{ca: "{self._ca}"}}' if tls else ""
            scenario.write_text(_SCENARIO.format(url=url, tls=trusted, streams=streams))
            return tool("run", str(scenario), "--report-dir", str(self._scratch / "report"), "--fail-on", "never"), {
                "PYTHONPATH": str(ROOT)
            }
        if client in _SCRIPTS:
            options = [
                *(("--lines",) if client == LINES else ()),
                *(("--ca", str(self._ca)) if tls else ()),
                *(("--errors", str(errors)) if errors else ()),
            ]
            return [str(self._peers), str(HERE / "clients" / _SCRIPTS[client]), f"{url}/events", str(streams), *options], {}
        address, port = authority.split(":")
        clock = "kernel" if client == C_KERNEL else "own"
        return [str(self._scratch / "client"), address, port, str(streams), clock, *([str(errors)] if errors else ())], {}

    def _counts(self, client: str, used: Used, file: Path | None) -> "tuple[dict[str, Any], array.array[int], array.array[int]]":
        stated = self._scratch / "stated"
        if client == TOOL:
            options = ["--errors", str(file), "--stated", str(stated)] if file else []
            script = str(HERE / "clients/tool.py")
            used = run(
                [sys.executable, script, str(self._scratch / "report/recording.ndjson"), *options], environment={"PYTHONPATH": str(ROOT)}
            )
        try:
            counts: dict[str, Any] = json.loads(used.stdout)
        except json.JSONDecodeError as error:
            raise BenchError(f"{client} printed no counts: {used.stdout[:300]!r}") from error
        return counts, _numbers(file), _numbers(stated if client == TOOL and file else None)


def _numbers(file: Path | None) -> "array.array[int]":
    numbers = array.array("q")
    if file is not None:
        numbers.frombytes(file.read_bytes())
    return numbers


def tool(*args: str) -> list[str]:
    """A command of sse-check, by the script that users start."""
    return [sys.executable, str(Path(sys.executable).with_name("sse-check")), *args]
