"""The way out of the machine that measures: addresses chosen, versions of IP compared, certificates shown, authorities of the runner."""

import re
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from sse_check.action import allowed_hosts
from sse_check.errors import UsageError
from sse_check.pipeline import check
from sse_check.plan import StreamPlan
from sse_check.probe import Stop, observe
from sse_check.redaction import Redactor
from sse_check.scenario import Probe, Scenario, Target, Tls, Until, expanded, load, variants_of
from sse_check.sources import resolve_table
from sse_check.transport import Request
from sse_check.transport.resolve import known_address
from tests.support.process import sse_check
from tests.support.servers import SSE_HEAD, answering, chunk, raw_server

STREAM = answering(SSE_HEAD + b"".join(chunk(b"data: %d\n\n" % n) for n in range(3)) + chunk(b""))


def port_of(base: str) -> int:
    """The port of a base URL."""
    return int(base.rpartition(":")[2])


async def verdict_of(target: Target, **of_probe: Any) -> tuple[str, list[str]]:
    """The verdict on one stream, and the codes of the findings."""
    probe = Probe(name="stream", path="/events", until=Until(events=3), **of_probe)
    result = (await check(expanded(Scenario(version=1, target=target, probes=(probe,))))).result
    return result.verdict, [f"{f.probe}: {f.code}" for f in result.findings]


# --- addresses ----------------------------------------------------------------------------------------------------------


async def test_a_host_is_reached_where_the_scenario_says():
    """
    As curl's --resolve: the name is that of the deployment, the address another one; with a port it holds for that alone.
    """
    async with raw_server(STREAM) as base:
        url = f"http://app.example.test:{port_of(base)}"
        assert await verdict_of(Target(url=url, resolve={"app.example.test": "127.0.0.1"})) == ("viable", [])
        assert await verdict_of(Target(url=url, resolve={f"app.example.test:{port_of(base)}": "127.0.0.1"})) == ("viable", [])
        elsewhere = await verdict_of(Target(url=url, resolve={"app.example.test:1": "127.0.0.1"}))
    assert elsewhere == ("not-viable", ["stream: refused"])


def test_a_host_of_resolve_has_no_case():
    """
    It is found however it, or the URL, is written.
    """
    text = "version: 1\ntarget: {url: 'https://APP.test', resolve: {App.Test: 192.0.2.7}}\nprobes: [{name: a, path: /}]\n"
    table = load(text.encode(), file="s.yml").target.resolve
    assert [known_address(table, host, 443) for host in ("app.test", "APP.test")] == ["192.0.2.7", "192.0.2.7"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"resolve": {"ok.test": "169.254.169.254"}}, "169.254.169.254, which no pattern allows"),
        ({"resolve": {"ok.test:443": "192.0.2.7, fd00::1"}}, "fd00::1, which no pattern allows"),
        ({"health": "/health"}, '"internal.test", which no pattern allows'),
        ({}, None),
    ],
    ids=["resolve", "resolve IPv6", "health", "nothing of the target is asked"],
)
def test_the_hosts_that_are_allowed_hold_for_all_that_is_asked(more, said):
    """
    A name that is allowed must not be led elsewhere, with the target's headers; and the target is asked for its health.
    """
    target = Target(url="https://internal.test", **more)
    asked = Scenario(version=1, target=target, probes=(Probe(name="a", url="https://ok.test/events"),))
    if said is None:
        assert allowed_hosts(asked, ("ok.test", "192.0.2.*")) == ("ok.test", "192.0.2.*")
    else:
        with pytest.raises(UsageError, match=re.escape(said)):
            allowed_hosts(asked, ("ok.test", "192.0.2.*"))


async def test_versions_of_ip_are_compared_by_a_probe_of_each():
    """
    The server listens on IPv4 only: the probe that asks for both is two, and the one over IPv6 is refused.
    """
    async with raw_server(STREAM) as base:
        target = Target(url=f"http://app.example.test:{port_of(base)}", resolve={"app.example.test": "127.0.0.1, ::1"})
        assert await verdict_of(target, ip="both") == ("not-viable", ["stream over IPv6: refused"])
        assert await verdict_of(target, ip="v4") == ("viable", [])
        assert await verdict_of(target) == ("viable", [])  # whichever answers, as browsers do


async def test_a_version_of_ip_that_a_host_does_not_have_is_refused():
    """
    It says so, instead of taking the other.
    """
    async with raw_server(STREAM) as base:
        target = Target(url=f"http://app.example.test:{port_of(base)}", resolve={"app.example.test": "127.0.0.1"})
        assert await verdict_of(target, ip="v6") == ("not-viable", ["stream: refused"])


def test_both_are_two_probes_that_know_each_other():
    """
    Each has a verdict of its own, by its name; what only differs in the version is a variant.
    """
    plan = expanded(
        Scenario(version=1, target=Target(url="https://h"), probes=(Probe(name="a", path="/", protocol="both"), Probe(name="b", path="/")))
    )
    assert [(p.name, p.protocol) for p in plan.probes] == [("a over HTTP/1.1", "http/1.1"), ("a over HTTP/2", "h2"), ("b", "http/1.1")]
    assert [p.name for p in variants_of(plan)[plan.probes[0].name]] == ["a over HTTP/2", "b"]


@pytest.mark.parametrize("text", ["app", "app:80", "app:x:127.0.0.1", "app:80:localhost", ":80:127.0.0.1", "app:80:1.2.3.4.5"])
def test_a_wrong_resolve_is_told_what_would_be_right(text):
    """
    Before anything is sent.
    """
    with pytest.raises(UsageError, match="HOST:PORT:ADDRESS"):
        resolve_table([text])


def test_resolve_is_read_as_curl_reads_it():
    """
    Several addresses with commas, IPv6 with or without brackets; the host's case does not matter.
    """
    assert resolve_table(["App.test:443:192.0.2.7", "b:80:[::1],127.0.0.1"]) == {"app.test:443": "192.0.2.7", "b:80": "::1,127.0.0.1"}


async def test_the_command_line_chooses_addresses_too(server):
    """
    --resolve for a scenario's host and for a URL, -4 and -6 for a URL.
    """
    port = port_of(server)
    url = f"http://app.example.test:{port}/events?count=3&every=20ms"
    done = sse_check("probe", url, "--streams", "1", "--resolve", f"app.example.test:{port}:127.0.0.1", "-4")
    assert done.returncode == 0, done.stderr
    refused = sse_check("probe", url, "--streams", "1", "--resolve", f"app.example.test:{port}:127.0.0.1", "-6", "--format", "json")
    assert refused.returncode == 1
    assert "another version of IP" in refused.stdout


# --- certificates ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority that no system knows."""
    return trustme.CA()


def demanding(authority: trustme.CA) -> ssl.SSLContext:
    """A server's side that wants a certificate of its client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_client_certificate_is_shown_to_who_demands_one(authority, tmp_path: Path):
    """
    Mutual TLS: with `tls.cert` and `tls.key`, or both in one file, the stream comes; without, the connection is refused.
    """
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    own = authority.issue_cert("client.example.test")
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    own.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    own.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    ca = str(tmp_path / "ca.pem")
    async with raw_server(STREAM, tls=demanding(authority)) as base:
        apart = await verdict_of(Target(url=base, tls=Tls(ca=ca, cert=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem"))))
        together = await verdict_of(Target(url=base, tls=Tls(ca=ca, cert=str(tmp_path / "both.pem"))))
        without = await verdict_of(Target(url=base, tls=Tls(ca=ca)))
    assert (apart, together) == (("viable", []), ("viable", []))
    assert without == ("not-viable", ["stream: refused"])


async def test_a_client_certificate_is_shown_to_nobody_else(authority, tmp_path: Path):
    """
    Neither where a redirect leads to another origin, nor to a probe's own URL there.
    """
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("client.example.test").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    tls = Tls(ca=str(tmp_path / "ca.pem"), cert=str(tmp_path / "both.pem"))
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(plain)
    async with raw_server(STREAM, tls=demanding(authority)) as elsewhere:
        redirect = answering(f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere}/events\r\nContent-Length: 0\r\n\r\n".encode())
        async with raw_server(redirect, tls=plain) as base:
            redirected = await verdict_of(Target(url=base, tls=tls))
            own = Scenario(version=1, target=Target(url=base, tls=tls), probes=(Probe(name="stream", url=f"{elsewhere}/events"),))
            asked = (await check(own)).result
    assert redirected[0] == "not-viable"
    assert "stream: refused" in redirected[1]
    assert [f.code for f in asked.findings] == ["refused"]


def test_a_certificate_that_cannot_be_used_is_an_error_before_anything_is_sent(authority, tmp_path: Path):
    """
    A file that is none, a key that does not fit: status 2, the setting and the file.
    """
    (tmp_path / "none.pem").write_text("no certificate\n")
    authority.issue_cert("a").cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    authority.issue_cert("b").private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    for arguments, said in (
        (("--cacert", tmp_path / "none.pem"), "target.tls.ca"),
        (("--cert", tmp_path / "cert.pem", "--key", tmp_path / "key.pem"), "target.tls.cert"),
        (("--cert", tmp_path / "missing.pem"), "target.tls.cert"),
    ):
        done = sse_check("probe", "https://127.0.0.1:1/", *arguments)
        assert done.returncode == 2
        assert said in done.stderr


async def test_the_authorities_of_the_runner_are_trusted(authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    A runner behind a proxy that opens TLS names its authority as its other tools are told; a file that is not here is none.
    """
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with raw_server(STREAM, tls=context) as base:
        monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(tmp_path / "missing.pem"))
        unknown = await verdict_of(Target(url=base))
        monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(tmp_path / "ca.pem"))
        known = await verdict_of(Target(url=base))
    assert (unknown, known) == (("not-viable", ["stream: refused"]), ("viable", []))


async def test_a_stream_that_breaks_off_in_a_tls_record_is_truncated(authority):
    """
    As servers in Go do at their write timeout: what cannot be decrypted after events is an end in mid-stream, not a refused connection.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            sock = server.wrap_socket(listening.accept()[0], server_side=True)
            sock.recv(65536)
            sock.sendall(SSE_HEAD + chunk(b"data: 1\n\n"))
            with socket.socket(fileno=sock.detach()) as plain:
                plain.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))

        threading.Thread(target=serve, daemon=True).start()
        request = Request(method="GET", url=f"https://127.0.0.1:{listening.getsockname()[1]}/", headers=(), tls=client)
        plan = StreamPlan(probe="p", stream=1, phase="stream", request=request, until=Until(event="complete"), timeout=5.0)
        stream = await observe(plan, clock=time.monotonic_ns, redactor=Redactor(), run_started_ns=0, stop=Stop())
    assert (stream.ended, stream.reason, len(stream.events)) == ("truncated", None, 1)
