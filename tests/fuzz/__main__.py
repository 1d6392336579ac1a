"""Fuzz targets, one after the other: `python -m tests.fuzz [--seconds N] [TARGET]…`

The engine is libFuzzer, by atheris (requirements/fuzz.txt), guided by coverage. It begins with the target's corpus and what
earlier runs have gathered in `.fuzz/TARGET`, and stops at the first input that breaks a promise, which it leaves in
`.fuzz/found`. `--replay FILE` gives the target one input, without the engine. The status is 1 where something was found.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS, tried


def main() -> int:
    """Run each target in a process of its own: the engine ends it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", metavar="TARGET", nargs="*", default=list(TARGETS), help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--replay", metavar="FILE", type=Path, help="only this input, without the engine")
    args = parser.parse_args()
    if unknown := sorted(set(args.targets) - set(TARGETS)):
        parser.error(f"no such target: {', '.join(unknown)}. There are: {', '.join(TARGETS)}.")
    if args.replay:
        for name in args.targets:
            print(f"{name}: held, {tried(name, args.replay.read_bytes()):.3f} s")
        return 0
    found = []
    for name in args.targets:
        print(f"--- {name}", flush=True)
        if subprocess.run([sys.executable, "-m", "tests.fuzz.engine", name, str(args.seconds)], check=False).returncode:
            found.append(name)
    print(f"--- found something: {', '.join(found)}" if found else "--- nothing was found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
