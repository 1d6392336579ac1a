"""Verdicts under a machine that is late, starved, frozen or poor: whatever it is, a healthy stream is never `not-viable`."""

from collections import Counter

import pytest

from tests.hostile import verdicts


def test_no_late_machine_makes_a_healthy_stream_not_viable():
    """
    A thousand verdicts on healthy streams of many shapes, each with noise that the recording admits: none is wrong.
    """
    seen: Counter[str] = Counter()
    for _, counted, failed in verdicts.counts(verdicts.healthy(), verdicts.CASES, "not-viable"):
        assert not failed
        seen += counted
    assert seen.total() >= verdicts.CASES


@pytest.mark.parametrize("kind", verdicts.SMALL)
def test_a_machine_that_is_hardly_late_still_says_yes(kind: str):
    """
    Each shape stays viable under small noise: an instrument that is never sure proves nothing.
    """
    for name, observed in verdicts.healthy().items():
        assert verdicts.verdict_of(1, kind, {name: observed})[1] == "viable", name


def test_no_late_machine_hides_a_fault():
    """
    The mirror of it: streams that are held back, cut, cached or refused are never viable.
    """
    for _, _, failed in verdicts.counts(verdicts.faulty(), verdicts.CASES // 4, "viable"):
        assert not failed


def test_a_thousand_streams_that_a_machine_was_late_for_are_not_called_limited():
    """
    Heads that were read late, some of them, are no limit on streams at once.
    """
    for kind in ("frozen while heads come", "paused while heads come"):
        assert verdicts.verdict_of(1, kind, {"1,000 streams": verdicts.crowd()})[1] != "not-viable"
