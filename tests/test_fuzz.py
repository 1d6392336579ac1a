"""Every input that the fuzz targets keep, what was found among them, and some more made of these (tests/fuzz)."""

import random

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from sse_check.recording import Recording
from tests.fuzz.broken import hold
from tests.fuzz.judging import judged_and_reported, kept
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import CORPUS, TARGETS, corpus, tried
from tests.support.drawn import recordings
from tests.support.process import ROOT

# Without a corpus: its inputs mean something to one version of hypothesis only.
DRAWN = "verdict"
KEPT = [(name, path) for name in TARGETS if name != DRAWN for path in corpus(name)]
MUTATIONS = 60  # of each target: a glance; the engine takes hours


@pytest.mark.parametrize(("name", "path"), KEPT, ids=[f"{name}/{path.name}" for name, path in KEPT])
def test_an_input_that_was_kept_breaks_no_promise(name: str, path):
    """
    What each target once met, and what it once tripped over, is answered as is promised, and soon.
    """
    tried(name, path.read_bytes())


@pytest.mark.parametrize("name", [name for name in TARGETS if name != DRAWN])
def test_inputs_like_them_break_no_promise(name: str):
    """
    The same with something changed in them, always the same way: so a target that has rotted is noticed at once.
    """
    kept_ones = [path.read_bytes() for path in corpus(name)]
    chance = random.Random(name)
    for number in range(MUTATIONS):
        data = mutated(name, chance.choice(kept_ones), chance)
        try:
            tried(name, data)
        except Exception as error:
            raise AssertionError(f"mutation {number} of {name}: {data[:2000]!r}") from error


@given(recordings(wild=True))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_run_is_judged_and_shown(value: Recording):
    """
    However odd the times and counts of a recording are, it is kept as it is, has a verdict, and is in every report.
    """
    hold(kept(value) == value, "a recording can be written and read")
    judged_and_reported(value)


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in (DRAWN, "decoding")])
def test_a_large_input_is_answered_soon(name: str):
    """
    64 KiB of one input over and over take no longer than a small one may: nothing grows with the square of its size.
    """
    for path in list(corpus(name))[:4]:
        data = path.read_bytes()
        tried(name, (data * (64 * 1024 // max(1, len(data)) + 1))[: 64 * 1024])


def test_the_long_run_has_every_target():
    """
    The weekly workflow names each target: one that it does not know would never be fuzzed for long.
    """
    workflow = yaml.safe_load((ROOT / ".github/workflows/fuzz.yml").read_text())
    assert workflow["jobs"]["fuzz"]["strategy"]["matrix"]["target"] == list(TARGETS)


def test_every_target_has_a_corpus():
    """
    A target without inputs would be started from nothing, and its directory be one that nobody knows.
    """
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS) - {DRAWN}
    assert {name for name, _ in KEPT} == set(TARGETS) - {DRAWN}
