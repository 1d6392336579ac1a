"""Print the table: `python -m tests.hostile`, or only the parts that are named. The status is 1 where a promise was not kept."""

import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Final

from tests.hostile.row import Row

PARTS: Final = ("exits", "sizes", "secrets", "files", "machine", "verdicts", "fuzz")


def main(wanted: list[str]) -> int:
    """Run the parts one after the other, and print each line as soon as it is known."""
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        print(f"no such part: {', '.join(unknown)}. There are: {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    print("| part | attempt | what happened | held |\n| --- | --- | --- | --- |")
    failed = 0
    for name in wanted or PARTS:
        rows: Callable[[], Iterator[Row]] = importlib.import_module(f"tests.hostile.{name}").rows
        for row in rows():
            failed += not row.held
            print(f"| {row.part} | {row.attempt} | {row.seen} | {'yes' if row.held else '**NO**'} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
