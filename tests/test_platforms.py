"""What is known of proxies and platforms, and how a response's headers show them."""

import re
from time import perf_counter

import msgspec
import pytest

from sse_check.diagnosis.finding import Fix
from sse_check.diagnosis.platforms import Hop, Limit, Limits, Platform, cures_of, idle_limit, platforms, read, recognise
from sse_check.recording import Head
from tests.support.process import ROOT

DOCUMENT = ROOT / "docs/platforms.md"
ENTRIES = pytest.mark.parametrize("entry", platforms(), ids=lambda entry: entry.name)

# The vocabulary of findings[].code.
CODES = {
    "buffered-full",
    "buffered-block",
    "buffered-time",
    "one-behind",
    "compressed-buffered",
    "delayed-headers",
    "idle-timeout",
    "duration-limit",
    "truncated",
    "stalled",
    "http-error",
    "not-sse",
    "redirected",
    "cached",
    "refused",
    "concurrency-limited",
    "lost-events",
    "resume-broken",
    "no-heartbeat",
    "runner-noise",
    "slow-first-event",
}

# What each of them answers with, and the hops that it shows, the nearest to the client first.
SEEN: list[tuple[dict[str, str], list[str]]] = [
    ({"Server": "cloudflare", "CF-RAY": "8f1c2d3e4f5a6b7c-FRA", "cf-cache-status": "DYNAMIC"}, ["Cloudflare"]),
    ({"Via": "1.1 3f2a.cloudfront.net (CloudFront)", "X-Amz-Cf-Id": "dGVzdA=="}, ["AWS CloudFront"]),
    ({"x-azure-ref": "20261122T101010Z-17c8"}, ["Azure Front Door"]),
    ({"X-Fastly-Request-ID": "b1946ac9", "Via": "1.1 varnish"}, ["Fastly"]),
    ({"X-Akamai-Transformed": "9 - 0 pmb=mRUM,1"}, ["Akamai"]),
    ({"server": "railway-hikari", "x-railway-request-id": "Zk3"}, ["Railway"]),
    ({"Server": "railway-edge", "x-railway-edge": "railway/europe-west4"}, ["Railway"]),
    ({"Server": "Heroku", "Via": "1.1 heroku-router"}, ["Heroku"]),
    ({"Server": "Cowboy", "Via": "1.1 vegur"}, ["Heroku"]),
    ({"server": "Vercel", "x-vercel-id": "fra1::iad1::x"}, ["Vercel"]),
    ({"Server": "Netlify", "X-NF-Request-ID": "01J"}, ["Netlify"]),
    ({"server": "cloudflare", "cf-ray": "8f1-FRA", "x-render-origin-server": "uvicorn", "rndr-id": "a-b"}, ["Cloudflare", "Render"]),
    ({"server": "Fly/6f91d33b (2026-10-01)", "via": "1.1 fly.io", "fly-request-id": "01H-fra"}, ["Fly.io"]),
    ({"Server": "Google Frontend", "X-Cloud-Trace-Context": "105445aa"}, ["Google Frontend"]),
    ({"via": "1.1 google", "server": "Google Frontend"}, ["GCP HTTPS load balancer", "Google Frontend"]),
    ({"Via": "1.1 google", "Server": "uvicorn"}, ["GCP HTTPS load balancer"]),
    ({"Set-Cookie": "ARRAffinity=[removed]"}, ["Azure App Service"]),
    (
        {"Set-Cookie": "ARRAffinitySameSite=ab12;Path=/", "Server": "Microsoft-IIS/10.0", "X-Powered-By": "ASP.NET"},
        ["Azure App Service", "IIS and ARR"],
    ),
    ({"Set-Cookie": "AWSALBCORS=[removed]", "Server": "nginx/1.22.1"}, ["AWS ALB", "nginx"]),
    ({"Server": "awselb/2.0"}, ["AWS ALB"]),
    ({"x-amz-apigw-id": "W85cPGkVvHcFa4g=", "x-amzn-RequestId": "1-2-3"}, ["AWS API Gateway"]),
    ({"Set-Cookie": "ApplicationGatewayAffinity=[removed]"}, ["Azure Application Gateway"]),
    ({"Server": "nginx"}, ["nginx"]),
    ({"Server": "Caddy"}, ["Caddy"]),
    ({"Server": "uvicorn", "Via": "1.1 Caddy"}, ["Caddy"]),
    ({"server": "envoy", "x-envoy-upstream-service-time": "3"}, ["Envoy"]),
    ({"server": "istio-envoy", "x-envoy-upstream-service-time": "3"}, ["Istio"]),
    ({"Server": "Apache/2.4.62 (Debian)"}, ["Apache httpd"]),
    ({"Via": "1.1 cache1 (Varnish/7.1)", "X-Varnish": "32770"}, ["Varnish"]),
    ({"Via": "1.1 gateway.example.test (squid/5.7)", "X-Cache": "MISS from gateway"}, ["Squid"]),
    ({"Server": "Microsoft-IIS/10.0"}, ["IIS and ARR"]),
    ({"Via": "1.1 kong/3.9.0", "X-Kong-Proxy-Latency": "2"}, ["Kong"]),
    ({"Server": "ATS/9.2.5", "Via": "http/1.1 edge (ApacheTrafficServer/9.2.5 [cMsSfW])"}, ["Apache Traffic Server"]),
    ({"Server": "lighttpd/1.4.69"}, ["lighttpd"]),
    ({"Via": "1.1 tinyproxy (tinyproxy/1.11.1)"}, ["tinyproxy"]),
    ({"X-Powered-By": "Express"}, ["Express"]),
    ({"Server": "Kestrel"}, ["Kestrel"]),
    ({"Server": "Jetty(12.0.14)"}, ["Jetty"]),
    ({"Server": "Cowboy"}, ["Cowboy"]),
]


def head(*fields: tuple[str, str], **named: str) -> Head:
    return Head(status=200, reason="OK", protocol="http/1.1", headers=(*fields, *named.items()))


def names(*fields: tuple[str, str]) -> list[str]:
    return [hop.name for hop in recognise(head(*fields))]


# --- what is written down ---------------------------------------------------------------------------------------------


@ENTRIES
def test_an_entry_has_a_source_and_a_date(entry: Platform):
    """
    Every entry says where its facts come from, and when that was read; what was measured says with which version.
    """
    assert entry.checked_on.isoformat() >= "2026"
    if entry.confidence == "measured":
        assert re.search(r"^measured with .+ \d+\.\d+", entry.source)
    else:
        assert re.search(r"^https://[a-z0-9.-]+\.[a-z]+/\S+$", entry.source)


@ENTRIES
def test_cures_are_for_known_faults(entry: Platform):
    """
    Every code that an entry has a cure for is a code of the vocabulary, and every cure is one line whose quotes are closed.
    """
    assert set(entry.cures) <= CODES
    for text in (text for texts in entry.cures.values() for text in texts):
        assert text.count("`") % 2 == 0
        assert text.isprintable()


@ENTRIES
def test_patterns_are_simple(entry: Platform):
    """
    Every pattern compiles, and none repeats a repetition, so that no value can make the search slow.
    """
    for pattern in (mark.pattern for mark in entry.fingerprints if mark.pattern):
        re.compile(pattern)
        assert not re.search(r"[*+}][*+{]|\)[*+{]", pattern)


@ENTRIES
def test_an_idle_limit_has_its_cure(entry: Platform):
    """
    Whoever cuts silent streams after a known time has a cure for that; likewise with a limit on the whole response.
    """
    if isinstance(entry.limits.idle, float):
        assert "idle-timeout" in entry.cures
    if isinstance(entry.limits.total, float):
        assert "duration-limit" in entry.cures


GOOD = """
- name: A
  kind: proxy
  fingerprints: [{header: server, pattern: a}]
  limits: {first_byte: 1, idle: unknown, total: null}
  buffering: unknown
  compression: unknown
  strips: unknown
  cures: {cached: [text]}
  source: https://example.test/a
  checked_on: 2026-11-22
  confidence: documented
"""


def test_unknown_is_a_value():
    """
    `unknown` stays unknown: it is neither a number nor the statement that there is no limit.
    """
    (entry,) = read(GOOD)
    assert entry.limits == Limits(first_byte=1.0, idle="unknown", total=None)
    assert (entry.buffering, entry.compression, entry.strips) == ("unknown", "unknown", "unknown")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("kind: proxy", "kind: toaster"),
        ("pattern: a", "pattern: '('"),
        ("header: server", "header: Server"),
        ("idle: unknown", "idle: maybe"),
        ("idle: unknown", "idle: 0"),
        ("idle: unknown, ", ""),
        ("buffering: unknown", "buffering: ''"),
        ("strips: unknown", "strip: unknown"),
        ("[text]", "[]"),
        ("https://example.test/a", "a note"),
        ("checked_on: 2026-11-22", "checked_on: lately"),
        ("confidence: documented", "confidence: high"),
        ("kind: proxy", "kind: proxy\n  poses_as: [B]"),
    ],
)
def test_a_wrong_entry_is_refused(right, wrong):
    """
    A wrong, missing or unknown field of an entry raises when the entries are read.
    """
    with pytest.raises(ValueError, match=r"."):
        read(GOOD.replace(right, wrong))


def test_a_name_is_given_once():
    """
    Two entries of one name are refused.
    """
    with pytest.raises(ValueError, match="named twice"):
        read(GOOD + GOOD)


def test_a_wrong_field_is_named():
    """
    The error says where in the entries the mistake is.
    """
    with pytest.raises(msgspec.ValidationError, match=r"\$\[0\]\.limits\.idle"):
        read(GOOD.replace("idle: unknown", "idle: 0"))


# --- recognition ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("headers", "expected"), SEEN, ids=[f"{' '.join(hops)} {number}" for number, (_, hops) in enumerate(SEEN)])
def test_recognition(headers, expected):
    """
    A response shows the hops that left their marks in it, and no other; the case of names and values does not matter.
    """
    assert names(*headers.items()) == expected
    assert names(*((name.upper(), value) for name, value in headers.items())) == expected
    assert names(*((name.lower(), value.swapcase()) for name, value in headers.items())) == expected


def test_every_mark_has_its_example():
    """
    Whatever can be recognised is recognised from an example above.
    """
    assert {name for _, hops in SEEN for name in hops} == {entry.name for entry in platforms() if entry.fingerprints}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Server": "uvicorn"},
        {"Server": "gunicorn", "Content-Type": "text/event-stream", "Cache-Control": "no-cache"},
        {"Server": "my-nginx-clone", "X-Powered-By": "Expressive", "Via": "1.1 gateway.example.test"},
        {"Server": "Apache-Coyote/1.1"},
        {"Server": "", "Via": "", "Set-Cookie": "", "X-Powered-By": ""},
        {"Set-Cookie": "session=AWSALB=1", "X-Note": "cloudflare nginx Varnish"},
        {"Via": "1.1 google.example.test"},
    ],
)
def test_nothing_is_recognised_where_nothing_is_shown(headers):
    """
    Without a mark no hop is named.
    """
    assert recognise(head(*headers.items())) == ()


def test_via_tells_the_order():
    """
    The last member of Via is the nearest hop, over several fields too; the others stand where their kind puts them.
    """
    caches = "1.1 a (Varnish/7.1), 1.1 b (squid/5.7)"
    assert names(("Via", caches), ("Server", "nginx")) == ["Squid", "Varnish", "nginx"]
    assert names(("Via", "1.1 b (squid/5.7)"), ("Via", "1.1 a (Varnish/7.1)")) == ["Varnish", "Squid"]
    assert names(("Server", "Kestrel"), ("Via", "1.1 c (CloudFront), 1.1 a (Varnish/7.1)")) == ["Varnish", "AWS CloudFront", "Kestrel"]
    assert names(("X-Powered-By", "Express"), ("Server", "nginx"), ("CF-Ray", "1")) == ["Cloudflare", "nginx", "Express"]


def test_a_hop_carries_its_evidence():
    """
    A hop says which header gave it away, and brings what is known of it.
    """
    (entry,) = (entry for entry in platforms() if entry.name == "lighttpd")
    assert recognise(head(("Server", "lighttpd/1.4.69"))) == (
        Hop(
            name="lighttpd",
            kind="proxy",
            evidence="server: lighttpd/1.4.69",
            limits=entry.limits,
            buffering=entry.buffering,
            compression=entry.compression,
            source="measured with lighttpd 1.4.69",
            checked_on=entry.checked_on,
        ),
    )


def test_a_cookie_shows_only_its_name():
    """
    The value of a cookie is no evidence that anybody should read.
    """
    (hop,) = recognise(head(("Set-Cookie", "AWSALB=s3cret; Path=/")))
    assert hop.evidence == "set-cookie: AWSALB"


def test_evidence_is_harmless():
    """
    A stranger's header is shown as one line of bounded length, without control characters.
    """
    (hop,) = recognise(head(("CF-Ray", "a\x1b[2J\r\n::error::\u202e" + "x" * 5000)))
    assert hop.evidence.isprintable()
    assert len(hop.evidence) < 150
    assert hop.evidence.startswith("cf-ray: a\\x1b[2J\\r\\n")


@pytest.mark.parametrize(
    "value",
    ["a" * 1_000_000, "(" * 1_000_000, "1.1 " * 250_000, ", " * 500_000, "kong" * 250_000, "\x00\xff\udcff" * 300_000, " \t" * 500_000],
    ids=["letters", "brackets", "versions", "commas", "almost", "binary", "blanks"],
)
def test_hostile_values_cost_no_time(value):
    """
    Long, strange and many values are looked at in bounded time, and show nothing that is not there.
    """
    marks = [mark.header for entry in platforms() for mark in entry.fingerprints if mark.pattern]
    fields = [(name, value) for name in sorted(set(marks)) for _ in range(20)]
    began = perf_counter()
    assert recognise(head(*fields)) == ()
    assert perf_counter() - began < 5  # some hundredths of a second; a pattern that backtracks would take hours


# --- what is made of it -----------------------------------------------------------------------------------------------


def test_cures_name_their_hop():
    """
    A hop's cures say where they are made and who says so, in the order of the hops; a fault without a cure has none.
    """
    hops = recognise(head(("Set-Cookie", "AWSALB=1"), ("Server", "lighttpd/1.4.69")))
    assert cures_of(hops, "buffered-full") == (
        Fix(where="lighttpd", text="For the path of the stream: `server.stream-response-body = 2`", source="measured with lighttpd 1.4.69"),
    )
    assert [fix.where for fix in cures_of(hops, "idle-timeout")] == ["AWS ALB"]
    assert cures_of(hops, "refused") == cures_of((), "buffered-full") == ()


def test_the_smallest_idle_limit_counts():
    """
    The idle limit of a chain is the smallest that is known; unknown and absent limits say nothing.
    """
    assert idle_limit(recognise(head(("Server", "railway-hikari")))) == 300.0
    assert idle_limit(recognise(head(("Server", "nginx"), ("CF-Ray", "1")))) == 60.0
    assert idle_limit(recognise(head(("Server", "Caddy"), ("X-Powered-By", "Express")))) is None
    assert idle_limit(()) is None


# --- the document -----------------------------------------------------------------------------------------------------

_INTRODUCTION = """\
# Platforms

What stands between an application and its clients, and what it does to an event stream by default.
Limits are in seconds: until the first byte, without a byte (idle), and of the whole response.
Only the idle limit is cured by a heartbeat.
`unknown` means that no source was found; `none` that there is no such limit.
What sse-check measures goes before what is written here.

This page is made from `sse_check/diagnosis/platforms.yml` by `python -m tests.test_platforms`.

| Name | First byte | Idle | Total | Buffering | Compression | Remark | Source | Checked |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def shown(limit: Limit) -> str:
    return f"{limit:g}" if isinstance(limit, float) else limit or "none"


def row(entry: Platform) -> str:
    limits = entry.limits
    source = f"[{entry.confidence}]({entry.source})" if entry.source.startswith("https://") else entry.source
    cells = (entry.name, *map(shown, (limits.first_byte, limits.idle, limits.total)), entry.buffering, entry.compression)
    return f"| {' | '.join((*cells, limits.note, source, entry.checked_on.isoformat()))} |\n"


def page() -> str:
    return _INTRODUCTION + "".join(map(row, platforms()))


def test_the_document_says_what_the_entries_say():
    """
    docs/platforms.md is the table of the entries.
    """
    assert DOCUMENT.read_text() == page()


if __name__ == "__main__":
    DOCUMENT.write_text(page())
