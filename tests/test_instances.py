"""Which instance made a response, and whether a fault is one instance's own."""

import pytest

from sse_check.instances import instance_of, told_apart
from sse_check.recording import StreamRecording
from sse_check.report import build_result
from sse_check.report.terminal import terminal_text
from sse_check.scenario import Instance, load
from tests.support.streams import answer, every, judged, probe, recording, scenario, stream


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"x_instance": "web-1"}, "web-1"),
        ({"x_served_by": "cache-fra-1"}, "cache-fra-1"),
        ({"fly_request_id": "01J8ZC6Q-fra"}, "fra"),
        ({"fly_request_id": "nonsense"}, None),
        ({"x_vercel_id": "fra1::iad1::abcde-17000000"}, "iad1"),
        ({"x_request_id": "4711"}, None),
        ({}, None),
    ],
)
def test_an_instance_is_found_by_the_headers_that_deployments_use(headers, name):
    """
    Of an id that is new with each response only what names a place counts.
    """
    assert instance_of(answer(**headers), None) == name


def test_the_scenarios_own_header_goes_first():
    """
    `instance: {header: X-Pod}`: that one, or nothing; no response has no instance.
    """
    wanted = Instance(header="X-Pod")
    assert instance_of(answer(x_pod=" a ", x_instance="b"), wanted) == "a"
    assert instance_of(answer(x_instance="b"), wanted) is None
    assert instance_of(None, wanted) is None


def test_a_name_that_is_new_each_time_is_none():
    """
    Four responses with four names: an id, unless the scenario says what it is.
    """
    assert told_apart(["a", "b", "a", "b"])
    assert told_apart(["a", "b"])
    assert not told_apart(["a", "b", "c", "d"])
    assert not told_apart([None, None])


def landed(*names: str) -> list[StreamRecording]:
    """A healthy stream on each instance whose name is in small letters, a broken one on the others."""
    return [
        stream(every(0.2, 5), number=n, phase="concurrency", head=answer(x_instance=name), ended="eof" if name.islower() else "reset")
        for n, name in enumerate(names, 1)
    ]


def test_a_fault_of_one_instance_says_whose_it_is():
    """
    Two of four streams are cut, both on one instance: the finding names it, and the report counts.
    """
    plan = scenario(probe(streams=4))
    outcome = judged(*landed("a", "B", "a", "B"), of=plan)
    (finding,) = [f for f in outcome.findings if f.severity == "error"]
    assert "Only on the instance" in finding.message
    assert finding.evidence["instances"] == "B"
    result = build_result(recording(*landed("a", "B", "a", "B"), scenario=plan), outcome)
    assert [(i.name, i.streams, i.passed) for i in result.instances] == [("B", 2, 0), ("a", 2, 2)]
    assert "instance B: 0 of 2 streams good" in terminal_text(result)


def test_a_fault_of_all_instances_is_nobodys_own():
    """
    Then nothing is said of them.
    """
    (finding,) = [f for f in judged(*landed("B", "C", "B", "C"), of=scenario(probe(streams=4))).findings if f.severity == "error"]
    assert "Only on" not in finding.message


def test_several_runs_that_are_judged_as_one_do_not_mix_up_their_instances():
    """
    Stream 1 of one run was cut on B, stream 1 of the other was healthy on c: the finding blames neither.
    """
    plan = scenario(probe(streams=2))
    (finding,) = [f for f in judged(*landed("B", "a"), *landed("c", "a"), of=plan).findings if f.severity == "error"]
    assert "Only on" not in finding.message


def test_the_targets_header_holds_for_every_probe():
    """
    Unless a probe has its own.
    """
    text = "version: 1\ntarget: {url: 'https://h', instance: {header: X-A}}\nprobes: [{name: a, path: /}, {name: b, path: /, instance: {header: X-B}}]\n"
    assert [p.instance and p.instance.header for p in load(text.encode(), file="s.yml").probes] == ["X-A", "X-B"]
