"""Resume through a real proxy: what a server does with `Last-Event-ID` is told right, for each way to do it."""

import pytest

from sse_check.pipeline import check
from sse_check.scenario import Probe, Resume, Scenario, Target, Until
from tests.lab.proxies import NGINX, running
from tests.support.resuming import RESUMES, resuming

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("kind", RESUMES)
async def test_a_resume_is_judged_right_through_nginx(kind: str):
    """
    A correct server passes; one that restarts at 0, skips, repeats or ignores the header is named, with what it lost or repeated.
    """
    async with resuming() as origin:
        with running(NGINX, {"location": "proxy_http_version 1.1;"}, origin) as base:
            probe = Probe(name="stream", path=f"/{kind}", until=Until(event="complete"), resume=Resume(after=5))
            checked = await check(Scenario(version=1, target=Target(url=base), probes=(probe,)))
    (found,) = checked.result.resumes
    assert found.ok is (kind == "correct"), found
    assert (checked.result.verdict == "viable") is (kind == "correct")
    expected = {
        "correct": (6, 0, 0),
        "restarts": (0, 0, 5),
        "skips": (9, 3, 0),
        "repeats": (5, 0, 1),
        "ignores": (1, 0, 5),
    }[kind]
    assert tuple(found.evidence[name] for name in ("went_on_with", "lost", "repeated")) == expected
    assert [finding.code for finding in checked.result.findings] == ([] if kind == "correct" else ["resume-broken"])
