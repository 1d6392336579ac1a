"""The processes of a measurement: the server on one core, a client at a time on another, and what the system says each used."""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
_TIMEOUT_S: Final = 300.0
_ADDRESSES: Final = 4  # server.c
_OTHER_FILES: Final = 200


class BenchError(Exception):
    """A measurement could not be made; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a process used: user and system time in seconds, its peak of resident memory, and what it wrote to stdout."""

    cpu_s: float
    peak_kib: int
    seconds: float
    stdout: str


def prepare(connections: int) -> None:
    """Allow so many connections for a process, with some files beside them.

    Raises BenchError where the system does not.
    """
    if sys.platform != "linux":
        raise BenchError("the benchmarks need Linux: epoll, /proc, and a core for each side.")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < connections + _OTHER_FILES:
        raise BenchError(
            f"a process may open {most} files only; {connections + _OTHER_FILES} are needed. Raise the hard limit (ulimit -Hn)."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def cores() -> tuple[int, int]:
    """The core of the clients and the core of the server; the same one where there is no other."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    meanwhile: Callable[[int], None] | None = None,
    timeout: float = _TIMEOUT_S,
) -> Used:
    """Run a command on the clients' core; `meanwhile` is called with its process ID once it runs.

    Raises BenchError where it fails, or is not over after `timeout` seconds.
    """
    core, _ = cores()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        try:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdout=out,
                stderr=err,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )
        except FileNotFoundError:
            raise BenchError(f"`{command[0]}` was not found; `make bench` sets up what is needed.") from None
        alarm = threading.Timer(timeout, lambda: os.kill(process.pid, signal.SIGKILL))
        alarm.start()
        try:
            if meanwhile is not None:
                meanwhile(process.pid)
        finally:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            alarm.cancel()
        seconds = time.monotonic() - began
        out.seek(0), err.seek(0)
        if process.returncode:
            told = err.read().decode("utf-8", "replace")[-2000:]
            raise BenchError(
                f"`{' '.join(map(str, command))}` ended with status {process.returncode} after {seconds:.0f} s and {usage.ru_maxrss // 1024} MiB.\n{told}"
            )
        return Used(
            cpu_s=usage.ru_utime + usage.ru_stime, peak_kib=usage.ru_maxrss, seconds=seconds, stdout=out.read().decode("utf-8", "replace")
        )


def resident_kib(pid: int) -> int:
    """The resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


def ended(pid: int) -> bool:
    """Whether a child is over, without taking its status."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def build(directory: Path) -> bool:
    """Compile the server and the client. Returns whether the server speaks TLS, which takes OpenSSL's headers.

    Raises BenchError where there is no C compiler.
    """
    compiler = os.environ.get("CC", "cc")

    def compiled(source: str, *options: str) -> bool:
        command = [compiler, "-O2", "-o", str(directory / source), str(HERE / f"{source}.c"), *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise BenchError(
                f"no C compiler: `{compiler}` was not found. Install one (Debian: gcc libc6-dev libssl-dev), or name it in CC."
            ) from None
        if done.returncode and "openssl/" not in done.stderr:
            raise BenchError(f"{source}.c does not compile:\n{done.stderr}")
        return done.returncode == 0

    compiled("client")
    return compiled("server", "-DTLS", "-lssl", "-lcrypto") or not compiled("server")


class Server:
    """The server of a run. Each measurement names a group of streams and looks at what was sent."""

    def __init__(self, program: Path, *certificate: Path) -> None:
        """Start it, on its core; with a certificate and its key it speaks TLS."""
        _, core = cores()
        self._process = subprocess.Popen(
            [program, *certificate],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        self.port = int(self._answer())
        self.tls = bool(certificate)
        self._turn = 0

    def group(self, streams: int, count: int, every_s: float, shape: str) -> str:
        """What the next streams are sent (server.c). Returns the address to ask: several take turns, each has its own ports."""
        self._ask(f"group {streams} {count} {int(every_s * 1e9)} {shape}")
        self._turn += 1
        return f"127.0.0.{1 + self._turn % _ADDRESSES}"

    def stats(self) -> dict[str, int]:
        """Streams opened, events sent, and streams ended, of this group."""
        counts: dict[str, int] = json.loads(self._ask("stats"))
        return counts

    def release(self) -> None:
        """End streams that are held."""
        self._ask("release")

    def _ask(self, command: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"the server ended with status {self._process.wait()}.")
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()
