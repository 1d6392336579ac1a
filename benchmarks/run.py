"""Measures sse-check beside its peers and prints figures, ratios, and what is wanted of them (docs/performance.md).

python -m benchmarks.run [GROUP …] [--check] [--quick] [--keep] [--peers PYTHON]
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks import alone, groups
from benchmarks.figures import Row, kept, table, worse
from benchmarks.groups import SMALL, Measuring, Size
from benchmarks.processes import HERE, BenchError, Server, build, prepare
from benchmarks.sampling import PEERS, Bench
from sse_check import __version__

GROUPS: Final[dict[str, Callable[[Measuring], list[Row]]]] = {
    "rate": groups.rate,
    "live": groups.live,
    "error": groups.error,
    "tls": groups.tls,
    "memory": groups.memory,
    "startup": alone.startup,
    "hold": alone.hold,
    "saturation": alone.saturation,
    "judge": alone.judge,
}
# One file for each version, written by --keep: the newest other version is what a run is compared with.
RESULTS: Final = HERE / "results"


def certificate(directory: Path) -> tuple[Path, Path, Path]:
    """An authority, and a certificate with its key for the server's addresses, as PEM files."""
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert(*(f"127.0.0.{n}" for n in range(1, 5)))
    paths = directory / "ca.pem", directory / "cert.pem", directory / "key.pem"
    authority.cert_pem.write_to_path(str(paths[0]))
    issued.cert_chain_pems[0].write_to_path(str(paths[1]))
    issued.private_key_pem.write_to_path(str(paths[2]))
    return paths


def measure(names: list[str], size: Size, peers: Path) -> tuple[list[Row], dict[str, str]]:
    """The rows of these groups, and what could not be measured and why.

    Raises BenchError where nothing can be.
    """
    prepare(max(size.held, size.idle, size.many))
    with tempfile.TemporaryDirectory() as directory, ExitStack() as ending:
        scratch = Path(directory)
        secure = build(scratch)
        plain = ending.enter_context(Server(scratch / "server"))
        ca, *issued = certificate(scratch)
        tls = ending.enter_context(Server(scratch / "server", *issued)) if secure else None
        measuring = Measuring(Bench(scratch, plain, tls, ca, peers), size, lambda what: print(what, file=sys.stderr, flush=True))
        rows: list[Row] = []
        for name in names:
            try:
                rows += GROUPS[name](measuring)
            except BenchError as error:  # the other groups are worth having
                measuring.missing[f"group {name}"] = str(error)
        return rows, measuring.missing


def machine() -> dict[str, object]:
    """What the figures depend on: the processor, the system and the interpreter; no name of this machine."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine())
    kernel = ".".join(platform.release().split(".")[:2])
    return {"processor": model, "cores": os.cpu_count(), "system": f"{platform.system()} {kernel}", "python": platform.python_version()}


def last(results: Path, version: str) -> dict[str, object] | None:
    """The results of the newest version other than this one, if any were kept."""
    older = [path for path in results.glob("*.json") if path.stem != version]
    newest = max(older, key=lambda path: [int(part) for part in path.stem.split(".")], default=None)
    return json.loads(newest.read_text()) if newest else None


def main() -> int:
    """Measure, print, and say by the status whether all that is wanted is met, if --check asks for it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measures sse-check beside its peers.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"what to measure: {', '.join(GROUPS)} (default: all)")
    parser.add_argument("--check", action="store_true", help="end with status 1 where a figure misses what is wanted of it")
    parser.add_argument("--quick", action="store_true", help="one small round, to see that it works; its figures mean nothing")
    parser.add_argument("--keep", action="store_true", help="keep medians and ratios in benchmarks/results")
    parser.add_argument("--peers", type=Path, default=PEERS, metavar="PYTHON", help="the interpreter that has the peers")
    args = parser.parse_args()
    unknown = [name for name in args.groups if name not in GROUPS]
    if unknown:
        parser.error(f"unknown group {', '.join(unknown)}. There are: {', '.join(GROUPS)}.")
    if args.keep and (args.quick or args.groups):
        parser.error("--keep takes the whole run: no group and no --quick.")
    try:
        rows, missing = measure(args.groups or list(GROUPS), SMALL if args.quick else Size(), args.peers)
    except BenchError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    print(table(rows))
    for what, why in missing.items():
        print(f"not measured: {what}: {why}")
    missed = [row for row in rows if row.met is False]
    print(f"{len(missed)} of {sum(row.wanted is not None for row in rows)} limits missed")
    results = kept(rows, machine(), __version__)
    before = last(RESULTS, __version__)
    if before is not None and not args.quick:
        for sentence in worse(results, before):
            print(f"worse: {sentence}")
    if args.keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{__version__}.json").write_text(json.dumps(results, indent=1) + "\n")
    return 1 if args.check and (missed or missing) else 0


if __name__ == "__main__":
    sys.exit(main())
