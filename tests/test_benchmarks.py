"""The benchmarks themselves: what is made of their figures, and that server and clients agree on what was sent."""

import json
from typing import Any

import pytest

from benchmarks.figures import TOOL, Row, kept, percentile, table, worse
from benchmarks.processes import BenchError, build
from benchmarks.recordings import write
from benchmarks.run import last
from sse_check.recording import from_lines
from sse_check.verdict import judge


def row(mine: list[float], **options: Any) -> Row:
    return Row(group="CPU", name="live", unit="us", values={TOOL: mine, "loop": [10.0, 10.0, 10.0]}, against="loop", **options)


def test_a_percentile_is_the_nearest_rank():
    """
    Of 1 to 100 the 99th percentile is 99, the maximum 100, and of one value each is that value.
    """
    ordered = list(range(1, 101))
    assert [percentile(ordered, share) for share in (0.01, 0.5, 0.99, 0.999, 1.0)] == [1, 50, 99, 100, 100]
    assert [percentile([7], share) for share in (0.5, 0.999, 1.0)] == [7, 7, 7]


@pytest.mark.parametrize(
    ("of", "met"),
    [
        (row([2.0, 9.0, 2.4], wanted=0.25, ratio=True), True),  # the median's ratio, 0.24
        (row([2.0, 9.0, 2.6], wanted=0.25, ratio=True), False),
        (row([40.0, 60.0, 50.0], wanted=50), True),
        (row([0.0, 0.0, 1.0], wanted=0, worst=True), False),  # one loss in any round is one too many
        (row([], wanted=50), None),
        (row([1.0]), None),
    ],
)
def test_a_limit_holds_for_the_median_or_for_the_worst(of, met):
    """
    A figure is held against its limit by its median, or by the ratio of medians; a loss by its worst round.
    """
    assert of.met is met


def test_the_table_names_what_was_missed():
    """
    Each row shows every client, the ratio, the limit, and whether it is met.
    """
    lines = table([row([2.6], wanted=0.25, ratio=True), row([], wanted=1)]).splitlines()
    assert lines[1].split() == ["live,", "us", "2.6", "10", "0.26", "x", "loop", "<=", "0.25", "x", "MISSED"]
    assert lines[2].endswith("not measured")


def test_a_ratio_that_grew_by_more_than_a_fifth_is_named(tmp_path):
    """
    Beside the newest other version that was kept, and only there: 0.24 to 0.28 is noise, 0.24 to 0.3 is not.
    """
    for version, mine in (("0.9.0", 1.0), ("0.10.0", 2.4)):
        (tmp_path / f"{version}.json").write_text(json.dumps(kept([row([mine])], {}, version)))
    before = last(tmp_path, "0.11.0")
    assert before is not None
    assert worse(kept([row([2.8])], {}, "0.11.0"), before) == []
    assert worse(kept([row([3.0])], {}, "0.11.0"), before) == ["CPU: live: 0.3 x loop, in 0.10.0 it was 0.24 x"]
    assert last(tmp_path / "none", "0.11.0") is None


def test_a_missing_compiler_is_named(tmp_path, monkeypatch):
    """
    Without a C compiler the message says which was looked for and what to install.
    """
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(BenchError, match=r"no C compiler: `no-such-compiler` was not found\. Install one"):
        build(tmp_path)


def test_the_long_recording_is_one_that_is_judged(tmp_path):
    """
    What is written for `judge` is a whole recording of as many events, and a viable one.
    """
    write(tmp_path / "long.ndjson", 20_000)
    with (tmp_path / "long.ndjson").open("rb") as lines:
        recording = from_lines(lines, file="long.ndjson")
    assert recording.interrupted is None
    assert sum(len(s.events) for s in recording.streams) == 20_000
    assert judge(recording).verdict == "viable"
