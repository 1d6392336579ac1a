"""The machine that measures, while it does: how late its loop is, how much of a core it takes, and what is kept out of its way."""

import asyncio
import gc
import platform
import time
from array import array
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final
from urllib.request import getproxies

from sse_check import __version__
from sse_check.place import gateway, inside
from sse_check.recording import Calibration, Environment
from sse_check.redaction import Redactor

_LAG_INTERVAL: Final = 0.02  # seconds between samples of the loop's lag
_MAX_LAG_SAMPLES: Final = 500_000


class Machine:
    """Watches the machine over the parts of a run in which streams are open."""

    def __init__(self) -> None:
        self._lags = array("d")
        self._lag_max = 0.0
        self._due: float | None = None  # when the sleeper of the sample under way is to be woken
        self._cpu_s = 0.0
        self._open_s = 0.0

    @property
    def lag_max(self) -> float:
        """The longest lag so far, in seconds; that of a sleeper who should be awake by now, and is not, among them."""
        overdue = 0.0 if self._due is None else time.monotonic() - self._due
        return max(self._lag_max, overdue)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Within this streams are open."""
        sampler = asyncio.ensure_future(self._sample())
        cpu, wall = time.process_time(), time.monotonic()
        try:
            with _uncollected():
                yield
        finally:
            self._cpu_s += time.process_time() - cpu
            self._open_s += time.monotonic() - wall
            self._lag_max, self._due = self.lag_max, None
            sampler.cancel()
            await asyncio.gather(sampler, return_exceptions=True)

    async def _sample(self) -> None:
        """How late the event loop wakes a sleeper, in seconds, again and again."""
        while len(self._lags) < _MAX_LAG_SAMPLES:
            self._due = due = time.monotonic() + _LAG_INTERVAL
            await asyncio.sleep(_LAG_INTERVAL)
            self._lags.append(max(0.0, time.monotonic() - due))
            self._lag_max, self._due = max(self._lag_max, self._lags[-1]), None

    def environment(self, redactor: Redactor, calibration: Calibration | None) -> Environment:
        """What is recorded of the machine."""
        ordered = sorted(self._lags) or [0.0]
        where = inside()
        return Environment(
            version=__version__,
            python=platform.python_version(),
            platform=f"{platform.system()} {platform.machine()}",
            loop_lag_p50=round(ordered[len(ordered) // 2], 6),
            loop_lag_p99=round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 6),
            loop_lag_max=round(self.lag_max, 6),
            loop_lag_samples=len(self._lags),
            cpu_seconds=round(self._cpu_s, 6),
            open_seconds=round(self._open_s, 6),
            calibration=calibration,
            proxies=tuple(f"{kind}: {redactor.url(url)}" for kind, url in sorted(proxies().items())),
            inside=where,
            gateway=gateway() if where else None,
        )


def proxies() -> dict[str, str]:
    """The proxies that the environment, or the system, names for what is asked here, as URLs."""
    named = {kind: url for kind, url in getproxies().items() if kind in ("http", "https", "all")}
    return {kind: url if "://" in url else f"http://{url}" for kind, url in named.items()}


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector, which stops everything for 50 ms and more where there are thousands of streams.

    What there is now is not looked at again. Of what comes, hardly anything is in cycles.
    """
    collecting = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()
