"""Pushing the metrics: as the receivers want them, once, and without harm where one is down."""

import base64
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from sse_check.monitoring import TIMEOUT_S, otlp_headers, otlp_json, push
from sse_check.redaction import Redactor
from sse_check.report import Result, build_report
from sse_check.report.openmetrics import gauges
from tests.support.streams import every, probe, recording, scenario, stream

NAME = "chat / answers"
RESULT: Result = build_report(
    recording(stream(every(1.0, 20), probe='an "odd" one'), scenario=scenario(probe('an "odd" one'), name=NAME))
).result
AT_NS = 1_768_473_000_123_456_789
SECRET = "p@ss/word-0123456789"


class Got(NamedTuple):
    """One request that a receiver had."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver(NamedTuple):
    """A server that takes what is sent; `url` is its base URL."""

    url: str
    got: list[Got]


@contextmanager
def receiver(status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Iterator[Receiver]:
    """A real HTTP server that answers everything alike while the context lasts."""
    got: list[Got] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            got.append(Got(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, sent))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = answer

        def log_message(self, *_: object) -> None:
            """Nothing is written beside a test's result."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Receiver(f"http://127.0.0.1:{server.server_port}", got)
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def endless(piece: bytes) -> Iterator[str]:
    """A server that answers with these bytes again and again, too slowly ever to be done, or with nothing; gives its base URL."""
    over = threading.Event()

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            while not over.wait(0.05):
                try:
                    connection.sendall(piece)
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def with_user(url: str, password: str) -> str:
    return url.replace("://", f"://user:{password}@")


def nothing_listens() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def to_pushgateway(url: str, *, timeout: float = TIMEOUT_S) -> tuple[str, ...]:
    return push(RESULT, pushgateway=url, otlp=None, environ={}, timeout=timeout)


def to_otlp(url: str, environ: Mapping[str, str] | None = None, *, timeout: float = TIMEOUT_S) -> tuple[str, ...]:
    return push(RESULT, pushgateway=None, otlp=url, environ=environ or {}, timeout=timeout)


EITHER = pytest.mark.parametrize("send", [to_pushgateway, to_otlp], ids=["pushgateway", "otlp"])


def decoded(segment: str) -> str:
    return base64.urlsafe_b64decode(segment).decode()


# --- to a Pushgateway -------------------------------------------------------------------------------------------------


def test_a_pushgateway_gets_the_metrics_of_this_scenario_and_target_replaced():
    """
    PUT, with the job, the target as instance, and the scenario as the key of what is replaced.
    """
    with receiver() as gateway:
        assert to_pushgateway(f"{gateway.url}/prefix/") == ()
    (got,) = gateway.got
    labels = dict(zip(*[iter(got.path.removeprefix("/prefix/metrics/").split("/"))] * 2, strict=True))
    assert got.method == "PUT"
    assert labels.pop("job") == "sse-check"
    assert {name: decoded(value) for name, value in labels.items()} == {
        "instance@base64": RESULT.target_url,
        "scenario@base64": NAME,
    }
    read = {family.name: len(family.samples) for family in text_string_to_metric_families(got.body.decode())}
    assert read == {gauge.name: len(gauge.samples) for gauge in gauges(RESULT)}


def test_another_scenario_has_a_group_of_its_own():
    """
    Two scenarios of one target do not replace each other's metrics, nor do two targets of one scenario.
    """
    results = [RESULT, replace(RESULT, name="other"), replace(RESULT, target_url="https://other.example.test"), replace(RESULT, name="")]
    with receiver() as gateway:
        assert [push(result, pushgateway=gateway.url, otlp=None, environ={}) for result in results] == [()] * 4
    assert len({got.path for got in gateway.got}) == 4


# --- by OTLP ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "path"), [("", "/v1/metrics"), ("/", "/v1/metrics"), ("/otlp", "/otlp/v1/metrics"), ("/otlp/?a=b#c", "/otlp/v1/metrics?a=b")]
)
def test_otlp_is_posted_below_the_base_url(base: str, path: str):
    """
    The path of the signal is added to the base URL, as the specification of the exporter has it.
    """
    with receiver() as collector:
        assert to_otlp(collector.url + base) == ()
    (got,) = collector.got
    assert (got.method, got.path, got.headers["content-type"]) == ("POST", path, "application/json")
    assert got.headers["user-agent"].startswith("sse-check/")
    assert json.loads(got.body)["resourceMetrics"]


def test_otlp_has_the_metrics_of_the_file():
    """
    The names, units and labels of metrics.prom, each as a gauge, with the time of the push.
    """
    (resource,) = json.loads(otlp_json(RESULT, at_ns=AT_NS))["resourceMetrics"]
    assert {"key": "service.name", "value": {"stringValue": "sse-check"}} in resource["resource"]["attributes"]
    metrics = {metric["name"]: metric for metric in resource["scopeMetrics"][0]["metrics"]}
    filled = [gauge for gauge in gauges(RESULT) if gauge.samples]
    assert list(metrics) == [gauge.name for gauge in filled]
    for gauge in filled:
        metric = metrics[gauge.name]
        points = metric["gauge"]["dataPoints"]
        assert metric["unit"] == {"seconds": "s", "ratio": "1", "": ""}[gauge.unit]
        assert [point["asDouble"] for point in points] == [sample.value for sample in gauge.samples]
        assert {point["timeUnixNano"] for point in points} == {str(AT_NS)}
        assert [tuple(a["value"]["stringValue"] for a in point["attributes"]) for point in points] == [s.labels for s in gauge.samples]


def test_otlp_is_what_the_official_definitions_read():
    """
    OpenTelemetry's own Protobuf definitions read the JSON, know each of its fields, and find every sample.
    """
    from google.protobuf import json_format
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    request = ExportMetricsServiceRequest()
    json_format.Parse(otlp_json(RESULT, at_ns=AT_NS), request, ignore_unknown_fields=False)
    (metrics,) = [scope.metrics for resource in request.resource_metrics for scope in resource.scope_metrics]
    read = {
        (metric.name, point.time_unix_nano, tuple(a.value.string_value for a in point.attributes)): point.as_double
        for metric in metrics
        for point in metric.gauge.data_points
    }
    assert read == {(gauge.name, AT_NS, sample.labels): sample.value for gauge in gauges(RESULT) for sample in gauge.samples}


@pytest.mark.parametrize(
    ("environ", "headers"),
    [
        ({}, {}),
        ({"OTEL_EXPORTER_OTLP_HEADERS": ""}, {}),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b=, x = y ,broken,=z"}, {"api-key": "a b=", "x": "y"}),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a=all", "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "a=metrics"}, {"a": "metrics"}),
    ],
)
def test_headers_for_otlp_come_from_the_standard_environment(environ: dict[str, str], headers: dict[str, str]):
    """
    Pairs as the specification writes them; those for metrics go before those for everything.
    """
    assert otlp_headers(environ) == headers


def test_the_headers_are_sent():
    """
    What authenticates with a header is reached.
    """
    with receiver() as collector:
        assert to_otlp(collector.url, {"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{SECRET}"}) == ()
    assert collector.got[0].headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", None),
        (b"\x0a\x00", None),  # the empty message of the binary encoding
        (b"{}", None),
        (b'{"partialSuccess": {}}', None),
        (b'{"partialSuccess": {"rejectedDataPoints": "3", "errorMessage": "too\\nmuch"}}', "it refused 3 of their samples"),
        (b'{"partialSuccess": {"rejectedDataPoints": 3}}', "it refused 3 of their samples"),
    ],
)
def test_samples_that_were_refused_are_said(body: bytes, said: str | None):
    """
    A receiver may take a part and answer with 200; how many it did not take is said, and none of its own words.
    """
    with receiver(body=body) as collector:
        sentences = to_otlp(collector.url)
    assert sentences == (() if said is None else (f"The metrics did not reach the OTLP receiver at `{collector.url}`: {said}.",))


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_nothing_is_sent_without_being_asked():
    """
    No address, no push, and nothing to say.
    """
    assert push(RESULT, pushgateway=None, otlp=None, environ={"OTEL_EXPORTER_OTLP_HEADERS": "a=b"}) == ()


def test_each_push_that_failed_has_a_sentence():
    """
    One receiver that is down does not keep the metrics from the other.
    """
    down = nothing_listens()
    with receiver() as works:
        (said,) = push(RESULT, pushgateway=down, otlp=works.url, environ={})
    assert said == f"The metrics did not reach the Pushgateway at `{down}`: Connection refused."
    assert len(works.got) == 1
    assert len(push(RESULT, pushgateway=down, otlp=down, environ={})) == 2


@EITHER
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_a_status_that_is_no_success_is_said(send, status: int):
    """
    With its number; what stands in the answer is a stranger's, and may repeat what was sent to it.
    """
    with receiver(status, b"go away") as refusing:
        (said,) = send(refusing.url)
    assert said.endswith(f"at `{refusing.url}`: it answered with status {status}.")


@EITHER
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(send, status: int):
    """
    The credentials stay with the address that was named for them.
    """
    with receiver() as elsewhere, receiver(status, headers={"Location": elsewhere.url}) as moved:
        (said,) = send(with_user(moved.url, "password"))
    assert f"status {status}, a redirect, which is not followed" in said
    assert elsewhere.got == []


@EITHER
@pytest.mark.parametrize("piece", [b"", b"H", b"HTTP/1.1 200 OK\r\n\r\nx"], ids=["nothing", "a head without end", "a body without end"])
def test_a_receiver_that_never_ends_is_not_waited_for(send, piece: bytes):
    """
    The limit is on the whole of a push, not on each of its pieces.
    """
    with endless(piece) as url:
        assert send(url, timeout=0.3)[0].endswith(f"at `{url}`: no answer within 300ms.")


@EITHER
def test_what_does_not_speak_http_is_said(send):
    """
    Whatever listens there: its words are not repeated.
    """
    with endless(b"220 \x1b[31mready\r\n") as url:
        (said,) = send(url)
    assert said.endswith(f"at `{url}`: what it answered is not HTTP, or its address has characters that no URL has.")


@EITHER
@pytest.mark.parametrize(
    "url",
    [
        *("push.example.test:9091", "ftp://push.example.test", "file:///etc/passwd", "http://", "http:///metrics", "http://[::1", "x\ny"),
        *("http://host:port", "http://host:0", "http://host:99999", "http://ho st/", "http://host/\x00", "http://host/ü"),
    ],
)
def test_what_is_no_address_is_said(send, url: str):
    """
    An address that cannot be used is a sentence, too, and nothing else happens.
    """
    (said,) = send(url)
    assert "The metrics did not reach the" in said
    assert said.isprintable()


@EITHER
@pytest.mark.parametrize("password", ["p@ss%2Fword-0123456789", "p%40ss%2fword-0123456789"])
def test_user_information_is_sent_as_basic_authentication(send, password: str):
    """
    A URL may hold the user and the password, which travel in a header and nowhere else.
    """
    with receiver(401) as refusing:
        (said,) = send(with_user(refusing.url, password))
    (got,) = refusing.got
    scheme, _, pair = got.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(pair).decode()) == ("Basic", f"user:{SECRET}")
    assert got.headers["host"] == refusing.url.removeprefix("http://")
    assert "word-0123456789" not in got.path
    assert said.endswith(f"at `{refusing.url.replace('://', '://***@')}`: it answered with status 401.")


@EITHER
def test_a_password_that_reaches_into_the_path_is_sent_nowhere(send):
    """
    With a `/` that is not encoded, the user would be taken for the host, and the password go to it.
    """
    with receiver() as host:
        (said,) = send(f"{host.url}/word-0123456789@push.example.test")
    assert host.got == []
    assert "word-0123456789" not in said


def test_no_credential_is_in_a_sentence():
    """
    Whatever goes wrong: neither what stands in the URL, nor in a header, nor what was declared secret is repeated.
    """
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": f"x-key={SECRET}%0aX"}
    passwords = [
        "word-0123456789",
        "a/word-0123456789",
        "a@b/word-0123456789",
        "a?word-0123456789",
        "80#word-0123456789",
        "a/b@c/word-0123456789",
        "a\nword-0123456789",
    ]
    urls = [nothing_listens(), "http://[::1", "http://host:port", "ftp://host", f"http://127.0.0.1:1/?token={SECRET}"]
    for url in (with_user(url, password) for url in urls for password in passwords):
        for said in push(RESULT, pushgateway=url, otlp=url, environ=environ):
            assert "word-0123456789" not in said
    (said,) = push(RESULT, pushgateway="http://127.0.0.1:1/tenant-4711", otlp=None, environ={}, redactor=Redactor(["tenant-4711"]))
    assert "`http://127.0.0.1:1/***`" in said
    (said,) = push(RESULT, pushgateway=nothing_listens(), otlp=None, environ={}, redactor=Redactor(["refused"]))
    assert said.endswith(": Connection ***.")
