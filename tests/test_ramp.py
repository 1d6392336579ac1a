"""Streams that are opened one after another instead of all at once: when each of them, and what makes no sense."""

import pytest

from sse_check.errors import UsageError
from sse_check.planning import Planner
from sse_check.scenario import Scenario, ScenarioError, Variables, load
from sse_check.sources import url_scenario
from tests.support.process import sse_check


def scenario(probe: str, *, assume: bool = False) -> Scenario:
    text = f"version: 1\nprobes:\n  - {{name: a, url: 'https://a.test/', {probe}}}\n"
    return load(text.encode(), file="s.yml", variables=Variables(assume=assume))


@pytest.mark.parametrize(
    ("probe", "opens_after"),
    [
        ("streams: 4", [0, 0, 0, 0]),
        ("streams: 4, ramp: 10s", [0, 2.5, 5, 7.5]),
        ("concurrent: true, ramp: 600ms", [0, 0.2, 0.4]),
    ],
)
def test_streams_are_opened_evenly_over_the_ramp(probe, opens_after):
    """
    Stream i of n is opened ramp x (i - 1) / n after the first: at one rate, as if another stream followed at the ramp's end.
    """
    (group,) = Planner(scenario(probe)).groups()
    assert [plan.opens_after for plan in group] == pytest.approx(opens_after)


def test_a_follow_up_waits_for_no_ramp():
    """
    A single stream, asked again, is opened at once.
    """
    asked = scenario("streams: 4, ramp: 10s")
    assert [plan.opens_after for (plan,) in Planner(asked).again(asked.probes[0], "again", 2)] == [0, 0]


@pytest.mark.parametrize("probe", ["streams: '${N}', ramp: 10s", "streams: 9, ramp: '${R}'", "streams: 9, ramp: 100s, timeout: '${T}'"])
def test_what_a_variable_will_bring_is_no_mistake_yet(probe):
    """
    `validate` cannot know how long a ramp is beside a time that a variable brings; the run does.
    """
    assert scenario(probe, assume=True).probes[0].name == "a"
    with pytest.raises(ScenarioError):
        scenario(probe)


def test_the_command_line_spreads_what_it_opens_together():
    """
    `--ramp` is of the streams at once; the one alone has none.
    """
    asked = url_scenario("https://a.test/", streams=100, ramp=10.0)
    assert [(probe.stream_count, probe.ramp) for probe in asked.probes] == [(1, None), (100, 10.0)]


@pytest.mark.parametrize(("streams", "ramp", "said"), [(1, 10.0, "one stream has nothing to spread"), (3, 60.0, "never are all open")])
def test_a_ramp_that_makes_no_sense_is_a_wrong_argument(streams, ramp, said):
    """
    The same mistakes as in a scenario, of the option.
    """
    with pytest.raises(UsageError, match=f"^--ramp: .*{said}"):
        url_scenario("https://a.test/", streams=streams, ramp=ramp)
    done = sse_check("probe", "https://a.test/", "--streams", str(streams), "--ramp", f"{ramp:g}s")
    assert (done.returncode, done.stderr.count("--ramp: ")) == (2, 1)
