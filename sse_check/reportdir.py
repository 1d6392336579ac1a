"""The report directory of one run: made, locked, and its files whole or not there.

Nothing is written through a link: a file is made under a name that nobody can foresee, must be new, and takes the place of whatever has
its name. The directory itself must stay where it was found; a link that takes its place, or a parent's, is not followed.

Only one run at a time writes to a directory (flock(2) on the directory itself): the lock leaves no file behind and is gone with its
process, however that ends. Where a file system has no such lock, two runs leave whole files, but perhaps some of each.
"""

import errno
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from sse_check.errors import UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module, or its absence

RECORDING: Final = "recording.ndjson"
# The recording of the run before, from when this one has something to write until its own recording is whole.
BEFORE: Final = "recording.before.ndjson"
REPORT: Final = "report.json"
# What is made from a recording, and belongs to no other.
REPORTS: Final = (REPORT, "summary.md", "report.html", "junit.xml", "metrics.prom")

_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)  # Windows has none


class ReportDirError(UsageError):
    """The report directory cannot be written; the message says which and why."""


class VanishedError(OSError):
    """A file that grows is not in its place any more: nobody would find what is added to it."""


class ReportDir:
    """Within its context, a directory that this run has for itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._real = path
        self._lock: int | None = None
        self.ours = False

    def __enter__(self) -> Self:
        """Make the directory and see that it can be written. Raises ReportDirError, also where another run writes to it."""
        try:
            self._real = Path(os.path.realpath(self.path))
            self._real.mkdir(parents=True, exist_ok=True)
            with self.beside("try").open("xb") as file:
                Path(file.name).unlink()
        except OSError as error:
            raise ReportDirError(
                f"{self.path}: the report directory cannot be written: {error.strerror}. Name another with --report-dir."
            ) from None
        try:
            self._take_lock()
        except BlockingIOError:
            raise ReportDirError(
                f"{self.path}: another run of sse-check writes its reports to it. Wait for that, or name another with --report-dir."
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def place(self, name: str) -> Path:
        """Where a file of this name is."""
        return self._real / name

    def beside(self, name: str) -> Path:
        """A new name beside a file, for what is to take its place."""
        return self._real / f".{name}.{secrets.token_hex(8)}"

    def write(self, name: str, parts: Iterable[bytes]) -> None:
        """Write a file, whole or not at all. With the first the directory is this run's. Raises OSError."""
        self.check()
        beside = self.beside(name)
        try:
            with beside.open("xb") as file:
                file.writelines(parts)
            self.take_over()
            beside.replace(self.place(name))
        finally:
            with suppress(OSError):  # it is in its place, or could not be made
                beside.unlink()

    def check(self) -> None:
        """See that the directory is the one that it was; one that was removed is made again. Raises OSError."""
        if os.path.realpath(self._real) != str(self._real):
            raise OSError(errno.ELOOP, "a link has taken its place, and is not followed", str(self.path))
        if self._lock is not None:
            with suppress(FileNotFoundError, NotADirectoryError):
                if os.path.samestat(self._real.stat(), os.fstat(self._lock)):
                    return
        self._real.mkdir(parents=True, exist_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            self._take_lock()

    def take_over(self) -> None:
        """From now on what is there is of this run: an earlier recording is set aside, and what was made from it goes. Raises OSError."""
        if self.ours:
            return
        with suppress(FileNotFoundError):
            self.place(RECORDING).replace(self.place(BEFORE))
        self.remove(*REPORTS)
        self.ours = True

    def remove(self, *names: str) -> None:
        """Remove files, those that are there."""
        for name in names:
            with suppress(OSError):
                self.place(name).unlink()

    def _take_lock(self) -> None:
        """Lock the directory. Raises BlockingIOError where another process has; where there are no locks, there is none."""
        if fcntl is None:
            return
        try:
            descriptor = os.open(self._real, os.O_RDONLY | os.O_DIRECTORY | _NO_LINK)
        except OSError:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise BlockingIOError(errno.EWOULDBLOCK, "another run of sse-check writes to it", str(self.path)) from None
        except OSError:
            pass  # it is kept all the same: it says which directory this was
        self._lock = descriptor


class GrowingFile:
    """A file of the directory to which is only added. It takes its place with the first that is written. Its calls block."""

    def __init__(self, directory: ReportDir, name: str) -> None:
        self._directory, self._name = directory, name
        self._descriptor: int | None = None
        self._unwritten = b""

    @property
    def behind(self) -> bool:
        """Whether something could not be written. Not to be asked while `append` is at work."""
        return bool(self._unwritten)

    def append(self, text: bytes) -> None:
        """Hand text to the operating system, which keeps it whatever becomes of this process.

        Raises OSError; what could not be written comes first the next time. Raises VanishedError where the file is not in its place: then
        the next text is the beginning of a new one.
        """
        self._unwritten += text
        if self._descriptor is None:
            self._begin()
        elif not self._in_place(self._descriptor):
            self.close()
            raise VanishedError(errno.ENOENT, "the file was removed or replaced", str(self._directory.place(self._name)))
        else:
            self._write(self._descriptor)

    def close(self) -> None:
        """Nothing more follows."""
        self._unwritten = b""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _begin(self) -> None:
        self._directory.check()
        beside, place = self._directory.beside(self._name), self._directory.place(self._name)
        text = self._unwritten
        try:
            with beside.open("xb", buffering=0) as file:
                self._write(file.fileno())
            self._directory.take_over()
            beside.replace(place)  # closed: Windows moves no file that is open
            self._descriptor = os.open(place, os.O_WRONLY | os.O_APPEND | _NO_LINK | getattr(os, "O_BINARY", 0))
        except OSError:
            self._unwritten = text
            raise
        finally:
            with suppress(OSError):
                beside.unlink()

    def _write(self, descriptor: int) -> None:
        while self._unwritten:
            self._unwritten = self._unwritten[os.write(descriptor, self._unwritten) :]

    def _in_place(self, descriptor: int) -> bool:
        with suppress(OSError):
            return os.path.samestat(self._directory.place(self._name).lstat(), os.fstat(descriptor))
        return False
