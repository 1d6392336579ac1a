"""What is measured: each group a function that lets the clients take turns and gives rows. What is wanted stands with each."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.figures import TOOL, Rounds, Row, percentile
from benchmarks.processes import BenchError
from benchmarks.sampling import AIPERF, C_KERNEL, C_OWN, HTTPX, LINES, OBVIOUS, Bench, Load, Sample

ALL: Final = (TOOL, OBVIOUS, HTTPX, AIPERF, C_KERNEL)
_PERCENTILES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured. The figures that are wanted hold for the full size only; the small one shows that all of it works."""

    rounds: int = 5
    full_rate_events: int = 200_000
    live_streams: int = 1000
    live_s: float = 5.0
    few: int = 100
    many: int = 3000
    error_s: float = 2.5
    idle: int = 5000
    held: int = 10_000
    held_s: int = 60
    saturating: tuple[int, ...] = (10, 20, 40, 60, 80, 120)
    judged: int = 5_000_000


SMALL: Final = Size(
    rounds=1, full_rate_events=20_000, live_streams=100, live_s=1.0, few=10, many=200, error_s=1.0, idle=200, held=300, held_s=3,
    saturating=(10, 100), judged=200_000,
)  # fmt: skip


@dataclass(slots=True)
class Measuring:
    """A run of the benchmarks. `say` is told what is measured now; what could not be measured is in `missing`."""

    bench: Bench
    size: Size
    say: Callable[[str], None]
    missing: dict[str, str] = field(default_factory=dict)

    def turns(self, clients: Sequence[str], what: str) -> Iterator[str]:
        """Every client once a round, so that a change of the machine meets all; without those that failed."""
        for turn in range(self.size.rounds):
            for client in clients:
                if client not in self.missing:
                    self.say(f"{what}, round {turn + 1} of {self.size.rounds}: {client}")
                    yield client

    def sample(self, client: str, load: Load, *, tls: bool = False, errors: bool = False) -> Sample | None:
        """A sample, or None where a client other than sse-check fails: it is left out from then on."""
        try:
            return self.bench.sample(client, load, tls=tls, errors=errors)
        except BenchError as error:
            if client == TOOL:
                raise
            self.missing[client] = str(error)
            return None


def _rows(group: str, rounds: Rounds, unit: str, **options: Any) -> list[Row]:
    return [Row(group=group, name=name, unit=unit, values=values, **options) for name, values in rounds.values.items()]


def rate(m: Measuring) -> list[Row]:
    """CPU for each event at full rate: what a process used, less what it used for the same streams without events.

    What clients pay by the line costs them less where an event is one line; of that nothing is wanted.
    """
    cpu, bare, judged, lost = Rounds(), Rounds(), Rounds(), Rounds()
    for streams, shape in ((m.size.few, "full"), (1, "full"), (m.size.few, "bare")):
        name = f"{streams} streams" if streams > 1 else "one stream"
        name += ", events of one line" if shape == "bare" else ""
        load = Load(streams=streams, count=m.size.full_rate_events // streams, shape=shape)
        for client in m.turns((*ALL, LINES), f"full rate, {name}"):
            _cost(m, client, load, name, bare if shape == "bare" else cpu, judged, lost)
    group = "CPU per event, full rate"
    return [
        *_rows(group, cpu, "us", against=OBVIOUS, wanted=0.25, ratio=True),
        *_rows(group, bare, "us", against=OBVIOUS),
        *_rows(group, judged, "us", against=OBVIOUS),
        *_rows(group, lost, "lost", wanted=0, worst=True),
    ]


def live(m: Measuring) -> list[Row]:
    """CPU for each event of many slow streams, and for each stream that is opened and closed."""
    cpu, judged, lost, connect = Rounds(), Rounds(), Rounds(), Rounds()
    streams, name = m.size.live_streams, f"{m.size.live_streams:,} streams, 10 events/s each"
    load = Load(streams=streams, count=int(m.size.live_s * 10), every_s=0.1, shape="spread")
    for client in m.turns((*ALL, LINES), "live"):
        empty = _cost(m, client, load, name, cpu, judged, lost)
        one = m.sample(client, Load(streams=1))
        if empty is not None and one is not None:
            connect.add("a stream opened and ended", client, (empty.used.cpu_s - one.used.cpu_s) / (streams - 1) * 1e6)
    return [
        *_rows("CPU per event, live", cpu, "us", against=OBVIOUS, wanted=0.6, ratio=True),
        *_rows("CPU per event, live", judged, "us", against=OBVIOUS),
        *_rows("CPU per event, live", lost, "lost", wanted=0, worst=True),
        *_rows("CPU per stream", connect, "us", against=OBVIOUS),
    ]


def _cost(m: Measuring, client: str, load: Load, name: str, cpu: Rounds, judged: Rounds, lost: Rounds) -> Sample | None:
    """Add the cost of an event to the rounds: to receive and record it, and with all that comes after. Returns the sample without events."""
    empty = m.sample(client, Load(streams=load.streams))
    full = m.sample(client, load)
    if empty is None or full is None:
        return None
    cpu.add(name, client, (full.recording_s - empty.recording_s) / load.events * 1e6)
    judged.add(f"{name}, judged and reported too", client, (full.used.cpu_s - empty.used.cpu_s) / load.events * 1e6)
    lost.add(name, client, full.lost + empty.lost)
    return empty


def error(m: Measuring) -> list[Row]:
    """How late the stamps are, plain: few and many streams, spread over the interval and all at once."""
    rows: list[Row] = []
    for streams, shape in itertools.product((m.size.few, m.size.many), ("spread", "once")):
        load = Load(streams=streams, count=int(m.size.error_s * 10), every_s=0.1, shape=shape)
        rows += _errors(m, load, (TOOL, OBVIOUS, AIPERF, C_KERNEL, C_OWN), C_KERNEL, wanted=50)
    return rows


def tls(m: Measuring) -> list[Row]:
    """The same with TLS, many streams with fewer events: to decrypt is work, and it is not the stamp that is to be loaded."""
    if not m.bench.has_tls:
        m.missing["TLS"] = "the server was built without it: OpenSSL's headers are missing (Debian: libssl-dev)."
        return []
    rows: list[Row] = []
    for (streams, every), shape in itertools.product(((m.size.few, 0.1), (m.size.many, 0.3)), ("spread", "once")):
        load = Load(streams=streams, count=int(m.size.error_s / every), every_s=every, shape=shape)
        rows += _errors(m, load, (TOOL, OBVIOUS), OBVIOUS, wanted=100, secure=True)
    return rows


def _errors(m: Measuring, load: Load, clients: Sequence[str], against: str, *, wanted: float, secure: bool = False) -> list[Row]:
    late, lost = Rounds(), Rounds()
    how = "TLS" if secure else "plain"
    group = (
        f"Timing error, {how}, {load.streams:,} streams x {1 / load.every_s:.3g}/s, {'all at once' if load.shape == 'once' else 'spread'}"
    )
    for client in m.turns(clients, group):
        sample = m.sample(client, load, tls=secure, errors=True)
        if sample is not None:
            add_percentiles(late, client, sample)
            lost.add("events and streams", client, sample.lost)
    limits = {"p99": wanted}
    return [
        *(Row(group=group, name=name, unit="us", values=v, against=against, wanted=limits.get(name)) for name, v in late.values.items()),
        *_rows(group, lost, "lost", wanted=0, worst=True),
    ]


def add_percentiles(late: Rounds, client: str, sample: Sample) -> None:
    """A round's percentiles of the timing error, in us."""
    ordered = sorted(sample.errors)
    for name, share in _PERCENTILES.items():
        if ordered:
            late.add(name, client, percentile(ordered, share) / 1e3)


def memory(m: Measuring) -> list[Row]:
    """Resident memory for each stream that is open and idle: of many, less that of one."""
    kib = Rounds()
    for client in m.turns(ALL, "idle streams"):
        if client == HTTPX and HTTPX in kib.values.get("idle", {}):
            continue  # once: it takes a minute to open so many
        one = m.sample(client, Load(streams=1, shape="hold"))
        many = m.sample(client, Load(streams=m.size.idle, shape="hold"))
        if one is not None and many is not None:
            kib.add("idle", client, (many.idle_kib - one.idle_kib) / (m.size.idle - 1))
    return [
        Row(group="Memory", name=f"an idle stream of {m.size.idle:,}", unit="KiB", values=v, against=OBVIOUS, wanted=16)
        for v in kib.values.values()
    ]
