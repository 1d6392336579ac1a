"""What a scenario says, as frozen structs: the one source of its validation, its JSON Schema and its snapshot.

Durations are seconds (float) and percentages numbers from 0 to 100 once read; in YAML they are written as text.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from sse_check.quantities import MOST_SECONDS
from sse_check.units import DURATION_PATTERN, EVENTS_PATTERN, PERCENT_PATTERN, format_duration

# `kind` tells the reader (load.py) how the text is to be read; msgspec itself has no such types.
Duration = Annotated[
    float,
    Meta(
        ge=0,
        le=MOST_SECONDS,
        extra={"kind": "duration"},
        extra_json_schema={"pattern": DURATION_PATTERN, "examples": ["25s", "250ms", "2m"]},
    ),
]
Percent = Annotated[
    float,
    Meta(
        ge=0,
        le=100,
        extra={"kind": "percent"},
        extra_json_schema={"pattern": PERCENT_PATTERN, "minimum": 0, "maximum": 100, "examples": ["90%", 90]},
    ),
]
Url = Annotated[str, Meta(extra={"kind": "url"}, examples=["https://app.example.test"])]
WebSocketUrl = Annotated[str, Meta(extra={"kind": "websocket url"}, examples=["wss://app.example.test/ws"])]
Path = Annotated[str, Meta(extra={"kind": "path"}, examples=["/events"])]
Headers = Annotated[dict[str, str], Meta(extra={"kind": "headers"}, examples=[{"X-API-Key": "${API_KEY}"}])]
Count = Annotated[int, Meta(ge=1, le=100_000, examples=[20])]
Variables = Annotated[dict[str, str], Meta(extra={"kind": "environment"}, examples=[{"MODE": "test"}])]
# Of a file or directory that the scenario names: looked for beside the scenario, then in the working directory.
Named = Annotated[str, Meta(extra={"kind": "file"}, min_length=1, max_length=4096, examples=["ci/nginx.conf"])]

DEFAULT_CONCURRENT_STREAMS: Final = 3  # the founding criteria: "3 streams at once"


class Criteria(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a deployment is good enough. The defaults are the founding criteria (docs/scenario.md).

    `decide`: whether a run goes on to its `end`, or is over as soon as nothing can change its verdict. `confidence`: how
    sure the success rate has to be; None: it is taken as it was counted.
    """

    success_rate: Percent = 90.0
    event_deadline: Duration = 25.0
    first_event: Duration = 2.0
    deadline_from: Literal["request", "previous", "sent"] = "request"
    decide: Literal["end", "early"] = "end"
    confidence: Percent | None = None


class Until(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a stream has shown enough; the first that holds ends it."""

    event: Annotated[str, Meta(examples=["complete"])] | None = None
    events: Count | None = None
    data: Annotated[str, Meta(examples=["[DONE]"])] | None = None
    json: Annotated[dict[str, Any], Meta(extra={"kind": "json fields"}, examples=[{"type": "done"}])] | None = None
    duration: Duration | None = None

    @property
    def terminal(self) -> str | None:
        """The event that ends the stream, as the scenario names it; None if it is no event that says so."""
        if self.json is not None:
            return ", ".join(f"{name}: {value}" for name, value in self.json.items())
        return self.event or self.data


class Expect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the server is known to send; makes missing events count and buffering certain.

    `gradual`: its events are made one after the other, as a language model's tokens are, so they cannot come all at once.
    """

    events: Count | None = None
    every: Duration | None = None
    heartbeat: Duration | None = None
    gradual: bool = False


class Timestamps(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an event says when the server sent it: a field of its JSON data (dots go deeper), or `id`."""

    field: Annotated[str, Meta(min_length=1, examples=["ts"])]
    unit: Literal["s", "ms", "us", "ns", "iso8601"] | None = None  # None: seen from the values


class Tls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the server's certificate is verified, and which one is shown to it. All are PEM files, relative to the scenario.

    `cert` may hold its private key; else `key` does.
    """

    verify: bool = True
    ca: Annotated[str, Meta(examples=["ca.pem"], min_length=1)] | None = None
    cert: Annotated[str, Meta(examples=["client.pem"], min_length=1)] | None = None
    key: Annotated[str, Meta(examples=["client.key"], min_length=1)] | None = None


class Instance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a response says which instance of the application made it."""

    header: Annotated[str, Meta(extra={"kind": "header name"}, examples=["X-Instance"])]


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The deployment under test: where it is and what every request to it carries."""

    url: Url | None = None
    headers: Headers = {}
    health: Path | None = None
    tls: Tls = Tls()
    resolve: Annotated[dict[str, str], Meta(extra={"kind": "resolve"}, examples=[{"app.example.test": "192.0.2.7"}])] = {}
    instance: Instance | None = None


class Compare(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second way to the same stream: past the proxies, straight to where it is made."""

    direct: Url


class LimitSearch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Look for the limits of the way, up to `until`: streams that are silent, have a heartbeat, or flow steadily.

    The server is told by the request header `SSE-Check-Arm` what to send, as `sse-check serve` understands it; for any
    other the paths say where it is silent, and so on. In the path of the heartbeat `{seconds}` and `{bytes}` are put in.
    """

    until: Duration
    first_byte: Path | None = None
    silent: Path | None = None
    heartbeat: Path | None = None
    steady: Path | None = None

    @property
    def paths(self) -> dict[str, str]:
        """The paths that are given, by the kind of stream."""
        given = {"first-byte": self.first_byte, "silent": self.silent, "heartbeat": self.heartbeat, "steady": self.steady}
        return {kind: path for kind, path in given.items() if path is not None}


class Resume(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cut the stream on purpose after so many events, and see whether a reconnect goes on where it was."""

    after: Annotated[
        int, Meta(extra={"kind": "events"}, ge=1, le=100_000, extra_json_schema={"pattern": EVENTS_PATTERN, "examples": ["5 events"]})
    ]


Preset = Literal["openai-chat", "anthropic-messages", "mcp", "mcp-sse", "graphql-sse"]


class Probe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of stream to open: alone, or several at once."""

    name: Annotated[str, Meta(min_length=1, max_length=200, examples=["small wallet"])]
    path: Path | None = None
    url: Url | None = None
    method: Annotated[str, Meta(extra={"kind": "method"}, examples=["POST"])] = "GET"
    headers: Headers = {}
    body: str | dict[str, Any] | None = None
    streams: Count | None = None
    concurrent: bool = False
    ramp: Duration | None = None
    until: Until = Until()
    expect: Expect = Expect()
    timestamps: Timestamps | None = None
    timeout: Duration | None = None
    compare: Compare | None = None
    preset: Preset | None = None
    protocol: Literal["http/1.1", "h2", "both"] = "http/1.1"
    ip: Literal["any", "v4", "v6", "both"] = "any"
    instance: Instance | None = None
    limits: LimitSearch | None = None
    resume: Resume | None = None

    @property
    def stream_count(self) -> int:
        """How many streams are opened together; 3 where the probe is only said to be concurrent."""
        if self.streams is not None:
            return self.streams
        return DEFAULT_CONCURRENT_STREAMS if self.concurrent else 1


class WebSocketFallback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A WebSocket endpoint to fall back to: it must upgrade, answer what is sent (`expect`: with this text), and stay open for `hold`."""

    path: Path | None = None
    url: WebSocketUrl | None = None
    headers: Headers = {}
    send: Annotated[str, Meta(examples=["ping"])] | None = None
    expect: Annotated[str, Meta(examples=["pong"], min_length=1)] | None = None
    hold: Duration | None = None


class BatchFallback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plain request to fall back to: it must be answered whole, with a 2xx status (`expect`: and with this text in its body)."""

    path: Path | None = None
    url: Url | None = None
    headers: Headers = {}
    expect: Annotated[str, Meta(examples=["done"], min_length=1)] | None = None
    method: Annotated[str, Meta(extra={"kind": "method"}, examples=["GET"])] = "GET"
    body: str | dict[str, Any] | None = None


class Fallback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One alternative to SSE: `websocket` or `batch`."""

    websocket: WebSocketFallback | None = None
    batch: BatchFallback | None = None


class Ready(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a service can be asked: its path answers with a 2xx status, or else its port takes connections."""

    http: Path | None = None
    within: Duration = 60.0


class Service(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A container that is started for the check and removed after it: the application under test, or a proxy in front of it.

    `files` are copied into it, by their path there. Its name is its host name in the check's private network.
    """

    image: Annotated[str, Meta(extra={"kind": "image"}, examples=["nginx:1.29"])] | None = None
    build: Annotated[str, Meta(extra={"kind": "file"}, min_length=1, max_length=4096, examples=["."])] | None = None
    dockerfile: Annotated[str, Meta(min_length=1, max_length=4096, examples=["Dockerfile"])] = "Dockerfile"
    command: tuple[str, ...] | None = None
    port: Annotated[int, Meta(ge=1, le=65535, examples=[8000])] | None = None
    env: Variables = {}
    files: Annotated[dict[str, Named], Meta(extra={"kind": "files"}, examples=[{"/etc/nginx/nginx.conf": "ci/nginx.conf"}])] = {}
    ready: Ready = Ready()
    in_front_of: Annotated[str, Meta(examples=["app"])] | None = None


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that one run checks, and what it must reach."""

    version: Literal[1]
    name: Annotated[str, Meta(max_length=200, examples=["Wallet analysis, production"])] = "sse-check"
    target: Target = Target()
    criteria: Criteria = Criteria()
    probes: Annotated[tuple[Probe, ...], Meta(min_length=1, max_length=1000)]
    fallbacks: tuple[Fallback, ...] = ()
    services: Annotated[dict[str, Service], Meta(extra={"kind": "services"})] = {}
    budget: Duration = 600.0
    follow_up: bool = True

    def url_of(self, probe: Probe) -> str:
        """The URL a probe asks: its own, or the target's followed by its path."""
        if probe.url is not None:
            return probe.url
        return join_url(self.target.url or "", probe.path or "/")

    def fallback_url(self, option: WebSocketFallback | BatchFallback) -> str:
        """The URL of a fallback: its own, or its path at the target; a WebSocket's as ws: or wss:."""
        url = option.url or join_url(self.target.url or "", option.path or "/")
        return "ws" + url.removeprefix("http") if isinstance(option, WebSocketFallback) and url.startswith("http") else url

    @property
    def base_url(self) -> str:
        """What the report calls the target: the target's URL, else the first probe's."""
        return self.target.url or self.url_of(self.probes[0])


def join_url(base: str, path: str) -> str:
    """`path` below `base`: https://h/api + /events -> https://h/api/events."""
    return base.rstrip("/") + "/" + path.lstrip("/")


def schema() -> dict[str, Any]:
    """The scenario's JSON Schema (2020-12), from the same structs that read it."""
    result = msgspec.json.schema(Scenario)
    _write_as_in_yaml(result)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sse-check scenario, version 1",
        **result,
    }


def _write_as_in_yaml(schema: Any) -> None:
    """What is stored as a number of seconds or percent is written as text in a scenario: types and defaults say so."""
    if isinstance(schema, dict):
        if schema.get("pattern") == DURATION_PATTERN:
            schema["type"] = "string"
            schema.pop("minimum", None)
            schema.pop("maximum", None)
            if isinstance(schema.get("default"), float):
                schema["default"] = format_duration(schema["default"])
        elif schema.get("pattern") == PERCENT_PATTERN:
            schema["type"] = ["string", "number"]
        elif schema.get("pattern") == EVENTS_PATTERN:
            schema["type"] = ["string", "integer"]
        if isinstance(schema.get("default"), dict):
            del schema["default"]  # of a part: its own keys have theirs
        for value in schema.values():
            _write_as_in_yaml(value)
    elif isinstance(schema, list):
        for value in schema:
            _write_as_in_yaml(value)
