"""The metrics of a result, sent to who keeps them: a Prometheus Pushgateway, and whatever speaks OTLP over HTTP.

A monitor that is down must not change a verdict: what goes wrong becomes a sentence, and nothing waits for longer than
the timeout. What is sent is sent once, to the address that was named: a redirect is not followed, since credentials
would go with it, and nothing that was answered is repeated in a sentence, since it may repeat them.

OTLP is written in its JSON encoding, which every receiver of OTLP/HTTP has to take (OTLP 1.0, "OTLP/HTTP": stable):
the libraries for the binary one would add 6.8 MB to the image for one message.
"""

import asyncio
import base64
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec
from msgspec import Struct

from sse_check import __version__
from sse_check.daemon import in_thread
from sse_check.escape import quoted, visible
from sse_check.redaction import Redactor
from sse_check.report.openmetrics import LABEL_LIMIT, Gauge, Sample, gauges, registry
from sse_check.report.result import Result
from sse_check.units import format_duration

# In seconds, for all pushes together. Longer than any monitor takes, short beside a run.
TIMEOUT_S: Final = 10.0

JOB: Final = "sse-check"

# Settings of OpenTelemetry's exporters, the one for this signal first (OpenTelemetry specification, "OTLP exporter").
_OTLP_HEADERS: Final = ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
# The units of OTLP are UCUM's (OpenTelemetry semantic conventions, "Instrument units").
_UCUM: Final = {"seconds": "s", "ratio": "1", "": ""}
# Up to the last sign: a password in which `/` or `@` is not percent-encoded reaches into the path.
_USER_INFORMATION: Final = re.compile(r"//.*@", re.DOTALL)
# In bytes. What OTLP answers is a few fields.
_MOST_READ: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class _Push:
    """One way to send. `send` gives what the receiver left out, as the end of a sentence, or None; it raises what a network can do."""

    receiver: str
    url: str
    send: Callable[[], str | None]


def push(
    result: Result,
    *,
    pushgateway: str | None,
    otlp: str | None,
    environ: Mapping[str, str],
    redactor: Redactor | None = None,
    timeout: float = TIMEOUT_S,
) -> tuple[str, ...]:
    """Send the metrics to the base URLs that are named, at once; a sentence for each push that failed.

    User information in a URL becomes basic authentication. `environ` may hold headers for OTLP
    (OTEL_EXPORTER_OTLP_HEADERS). `timeout` is in seconds. Raises nothing that a network or a receiver can cause.
    Blocks, and must not be called from a running event loop.
    """
    wanted = []
    if pushgateway:
        wanted.append(_Push(receiver="Pushgateway", url=pushgateway, send=lambda: _to_pushgateway(result, pushgateway, timeout)))
    if otlp:
        wanted.append(_Push(receiver="OTLP receiver", url=otlp, send=lambda: _to_otlp(result, otlp, environ, timeout)))
    return asyncio.run(_all(wanted, redactor or Redactor(), timeout)) if wanted else ()


async def _all(wanted: Sequence[_Push], redactor: Redactor, timeout: float) -> tuple[str, ...]:
    """The sentences. A socket's own timeout begins anew with each byte, and a resolver has none: so the whole has one as well."""
    sending = [in_thread(partial(_why_not, push, timeout)) for push in wanted]
    await asyncio.wait(sending, timeout=timeout)
    said = []
    for push, sent in zip(wanted, sending, strict=True):
        why = sent.result() if sent.done() else _no_answer(timeout)
        if why is not None:
            address = quoted(_USER_INFORMATION.sub("//***@", redactor.url(push.url)))
            said.append(f"The metrics did not reach the {push.receiver} at {address}: {redactor.text(why)}.")
    return tuple(said)


def _why_not(push: _Push, timeout: float) -> str | None:
    """Send, and say what went wrong. The texts of ValueError and HTTPException can hold a credential or an answer."""
    try:
        return push.send()
    except HTTPError as error:
        error.close()
        elsewhere = ", a redirect, which is not followed: name the address that it leads to" if 300 <= error.code < 400 else ""
        return f"it answered with status {error.code}{elsewhere}"
    except (URLError, OSError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, TimeoutError):
            return _no_answer(timeout)
        return visible(str(getattr(reason, "strerror", None) or reason))
    except HTTPException:
        return "what it answered is not HTTP, or its address has characters that no URL has"
    except ValueError:
        return "its address, or a header for it, cannot be used; write http://HOST:PORT or https://USER:PASSWORD@HOST, percent-encoded"


def _no_answer(timeout: float) -> str:
    return f"no answer within {format_duration(timeout)}"


# --- HTTP -------------------------------------------------------------------------------------------------------------


class _NoRedirect(HTTPRedirectHandler):
    """Follows nothing: urllib would take the credentials to wherever a redirect leads, and make a GET of a POST."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No further request: the redirect itself is the answer, an HTTPError."""


def _parts(url: str) -> SplitResult:
    """The parts of an HTTP URL. Raises ValueError where it is none, or where a password seems to reach into its path."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or "@" in parts.path + parts.query + parts.fragment:
        raise ValueError("no HTTP URL")
    return parts


def _below(parts: SplitResult, path: str, query: str = "") -> str:
    """A URL's address without user information, with a path below its own."""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/") + path, query, ""))


def _authorization(parts: SplitResult) -> dict[str, str]:
    """Basic authentication (RFC 7617) by the user information of a URL, where it has any."""
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _answer(url: str, method: str, headers: Mapping[str, str], data: bytes, timeout: float) -> bytes:
    """The beginning of what was answered with a status of success; other statuses raise HTTPError."""
    request = Request(url, data=data, headers={"User-Agent": f"sse-check/{__version__}", **headers}, method=method)
    with build_opener(_NoRedirect).open(request, timeout=timeout) as response:
        body: bytes = response.read(_MOST_READ)
    return body


# --- Pushgateway ------------------------------------------------------------------------------------------------------


def _to_pushgateway(result: Result, url: str, timeout: float) -> None:
    """Replace the metrics of this scenario and target (PUT), and no others."""
    from prometheus_client import push_to_gateway

    parts = _parts(url)

    def handler(url: str, method: str, timeout: float | None, headers: Sequence[tuple[str, str]], data: bytes) -> Callable[[], None]:
        def send() -> None:
            _answer(url, method, {**dict(headers), **_authorization(parts)}, data, timeout or TIMEOUT_S)

        return send

    push_to_gateway(_below(parts, ""), job=JOB, registry=registry(result), grouping_key=_group(result), timeout=timeout, handler=handler)


def _group(result: Result) -> dict[str, str]:
    """What is replaced together. `instance` is what was probed, as with the Blackbox exporter: who probed is another machine each time."""
    return {"instance": visible(result.target_url, LABEL_LIMIT), "scenario": visible(result.name, LABEL_LIMIT)}


# --- OTLP -------------------------------------------------------------------------------------------------------------


class _Partial(Struct, rename="camel"):
    """`ExportMetricsPartialSuccess`; 64-bit integers are text in Protobuf's JSON, and numbers are accepted."""

    rejected_data_points: int | str = 0


class _Response(Struct, rename="camel"):
    """`ExportMetricsServiceResponse`."""

    partial_success: _Partial | None = None


def _to_otlp(result: Result, url: str, environ: Mapping[str, str], timeout: float) -> str | None:
    """Send once. What was answered is looked at only for how many samples were refused, if it is JSON."""
    parts = _parts(url)
    headers = {**_authorization(parts), **otlp_headers(environ), "Content-Type": "application/json"}
    # A base URL, to which the path of the signal is added (OTLP exporter, "Endpoint URLs for OTLP/HTTP").
    body = _answer(_below(parts, "/v1/metrics", parts.query), "POST", headers, otlp_json(result, at_ns=time.time_ns()), timeout)
    try:
        taken = msgspec.json.decode(body, type=_Response).partial_success
    except msgspec.DecodeError:
        return None
    refused = visible(str(taken.rejected_data_points), 20) if taken else "0"
    return None if refused == "0" else f"it refused {refused} of their samples"


def otlp_headers(environ: Mapping[str, str]) -> dict[str, str]:
    """Headers from the environment, `name=value,name=value` with percent-encoded values (OTLP exporter, "Specifying headers")."""
    said = next((environ[name] for name in _OTLP_HEADERS if environ.get(name)), "")
    pairs = (pair.partition("=") for pair in said.split(","))
    return {name.strip(): unquote(value.strip()) for name, equals, value in pairs if equals and name.strip()}


def otlp_json(result: Result, *, at_ns: int) -> bytes:
    """The metrics as an `ExportMetricsServiceRequest` in OTLP's JSON encoding; names and labels are those of metrics.prom.

    `at_ns` is the time of the samples, in nanoseconds since the epoch: when they are sent, since receivers refuse what is
    old. When it was measured is a metric of its own.
    """
    scope = {"name": JOB, "version": __version__}
    resource = {"attributes": _attributes({"service.name": JOB, "service.version": __version__})}
    metrics = [_metric(gauge, at_ns) for gauge in gauges(result) if gauge.samples]
    return msgspec.json.encode({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": scope, "metrics": metrics}]}]})


def _metric(gauge: Gauge, at_ns: int) -> dict[str, Any]:
    points = [_point(gauge, sample, at_ns) for sample in gauge.samples]
    return {"name": gauge.name, "description": gauge.help, "unit": _UCUM[gauge.unit], "gauge": {"dataPoints": points}}


def _point(gauge: Gauge, sample: Sample, at_ns: int) -> dict[str, Any]:
    labels = dict(zip(gauge.labels, sample.labels, strict=True))
    return {"attributes": _attributes(labels), "timeUnixNano": str(at_ns), "asDouble": sample.value}


def _attributes(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]
