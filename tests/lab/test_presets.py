"""Each preset against a real server of its kind: directly, behind proxies that hold the stream back, and cut off."""

import json
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.lab.proxies import ENVOY, HAPROXY, NGINX, NODE, Config, Proxy, running
from tests.lab.servers import AIMOCK, GRAPHQL, MCP, SERVERS
from tests.support.process import sse_check_in_time

pytestmark = pytest.mark.lab

UNBUFFERED: Final = 'proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection "";'
COMPRESSION: Final = """\
const app = express();
app.use(compression());
app.use(createProxyMiddleware({ target, changeOrigin: true }));
app.listen(port, host);
"""
# At another age each time, also of conversations of four requests: no limit, a hop that breaks.
BREAKS_OFF: Final = """\
const ages = [700, 1900, 1200, 2300, 1500];
const proxy = httpProxy.createProxyServer({ target, selfHandleResponse: true });
proxy.on("error", () => {});
proxy.on("proxyRes", (upstream, request, response) => {
  response.writeHead(upstream.statusCode, upstream.headers);
  response.flushHeaders();
  upstream.pipe(response);
  ages.push(ages.shift());
  setTimeout(() => response.destroy(), ages[0]);
  response.on("close", () => upstream.destroy());
});
http.createServer((request, response) => proxy.web(request, response)).listen(port, host);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is streamed: the preset, its server, and what a probe says beside the preset. `tokens` is how many come at least."""

    preset: str
    server: Proxy
    config: Config = field(default_factory=dict)
    probe: dict[str, Any]
    tokens: int

    def with_body(self, **body: Any) -> "Kind":
        """The same with another body."""
        return replace(self, probe={**self.probe, "body": body})


OPENAI: Final = Kind(preset="openai-chat", server=AIMOCK, probe={"path": "/v1/chat/completions", "body": {"model": "lab"}}, tokens=50)
ANTHROPIC: Final = Kind(preset="anthropic-messages", server=AIMOCK, probe={"path": "/v1/messages", "body": {"model": "lab"}}, tokens=50)
MCP_HTTP: Final = Kind(
    preset="mcp", server=MCP, probe={"path": "/mcp", "body": {"name": "count", "arguments": {"to": 14, "every": 0.2}}}, tokens=14
)
MCP_SSE: Final = replace(MCP_HTTP, preset="mcp-sse", config={"transport": "sse"}, probe={**MCP_HTTP.probe, "path": "/sse"})
SUBSCRIPTION: Final = Kind(
    preset="graphql-sse", server=GRAPHQL, probe={"path": "/graphql", "body": {"query": "subscription { countdown(from: 14) }"}}, tokens=14
)
KINDS: Final = (OPENAI, ANTHROPIC, MCP_HTTP, MCP_SSE, SUBSCRIPTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A kind of stream behind a proxy, or directly, and the fault code that is the truth; None: it is healthy."""

    name: str
    kind: Kind
    proxy: Proxy | None = None
    config: Config = field(default_factory=dict)
    label: str | None = None
    compare: bool = False  # the scenario names the way past the proxy
    timeout: str = "8s"


def _each(name: str, proxy: Proxy | None, config: Config, label: str | None, kinds: tuple[Kind, ...] = KINDS, **rest: Any) -> list[Way]:
    return [Way(name=f"{kind.preset}-{name}", kind=kind, proxy=proxy, config=config, label=label, **rest) for kind in kinds]


_WAITS: Final = {"listen": "http-response wait-for-body time 20s"}
_FINITE: Final = (OPENAI, ANTHROPIC, MCP_HTTP, SUBSCRIPTION)
_SLOW_CALL: Final = {"name": "count", "arguments": {"to": 4, "every": 0.2, "pause": 3.5}}

HEALTHY: Final = [
    *_each("directly", None, {}, None),
    *_each("nginx-unbuffered", NGINX, {"location": UNBUFFERED}, None),
    # The SDK sends `X-Accel-Buffering: no`, which nginx obeys.
    *_each("nginx-default", NGINX, {}, None, (MCP_HTTP, MCP_SSE)),
    # graphql-sse sends `Content-Encoding: none`, and what is encoded already is not compressed.
    *_each("node-compression", NODE, {"script": COMPRESSION}, None, (SUBSCRIPTION,)),
    # Everything at once, but without having waited for it: a mock, no buffer.
    Way(name="openai-chat-all-at-once", kind=replace(OPENAI, config={"pace": '"latency": 0'})),
]
HELD: Final = [
    *_each("haproxy-wait-for-body", HAPROXY, _WAITS, "buffered-full", _FINITE),
    # With the way past the proxy it is known for certain.
    Way(name="openai-chat-compared", kind=OPENAI, proxy=HAPROXY, config=_WAITS, label="buffered-full", compare=True),
    # The stream of the older transport never ends, so nothing comes of it, and nothing says why but the way past the proxy.
    *_each("haproxy-wait-for-body", HAPROXY, _WAITS, "buffered-full", (MCP_SSE,), compare=True, timeout="4s"),
    *_each("nginx-default", NGINX, {}, "buffered-block", (OPENAI,)),
    *_each("nginx-default", NGINX, {}, "buffered-full", (SUBSCRIPTION,)),
    *_each("node-compression", NODE, {"script": COMPRESSION}, "compressed-buffered", (OPENAI, ANTHROPIC)),
    # Not even the event comes through that says where to post.
    *_each("node-compression", NODE, {"script": COMPRESSION}, "compressed-buffered", (MCP_SSE,), timeout="4s"),
]
CUT: Final = [
    *_each("breaks-off", NODE, {"script": BREAKS_OFF}, "truncated"),
    # aimock itself, at no even pace
    *_each(
        "truncated",
        None,
        {},
        "truncated",
        tuple(
            replace(kind, config={"pace": '"truncateAfterChunks": 25, "streamingProfile": {"ttft": 200, "tps": 25, "jitter": 0.9}'})
            for kind in (OPENAI, ANTHROPIC)
        ),
    ),
    *_each("envoy-route-timeout", ENVOY, {"route": "timeout: 1.5s"}, "duration-limit", (OPENAI, MCP_HTTP, MCP_SSE)),
    *_each(
        "nginx-read-timeout",
        NGINX,
        {"location": UNBUFFERED + "proxy_read_timeout 2s;"},
        "idle-timeout",
        (MCP_HTTP.with_body(**_SLOW_CALL), MCP_SSE.with_body(**_SLOW_CALL)),
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What sse-check said."""

    status: int
    report: dict[str, Any]
    account: str

    @property
    def first(self) -> str | None:
        """The first error's code."""
        return next((f["code"] for f in self.report["findings"] if f["severity"] == "error"), None)


def observe(way: Way, directory: Path) -> Said:
    """`sse-check run` on a way with nothing running but what it needs; again, once, where sse-check says so."""
    directory.mkdir()
    with ExitStack() as stack:
        origin = stack.enter_context(running(way.kind.server, way.kind.config, ""))
        base = origin if way.proxy is None else stack.enter_context(running(way.proxy, way.config, origin.removeprefix("http://")))
        probe = {"name": "p", "preset": way.kind.preset, "timeout": way.timeout, **way.kind.probe}
        if way.compare:
            probe["compare"] = {"direct": origin + way.kind.probe["path"]}
        (directory / "scenario.yml").write_text(json.dumps({"version": 1, "target": {"url": base}, "probes": [probe]}))
        for report in ("run", "again"):
            done = sse_check_in_time("run", directory / "scenario.yml", "--report-dir", directory / report)
            found = json.loads((directory / report / "report.json").read_text())
            if found["recommendation"] != "MEASURE AGAIN":
                break
    return Said(status=done.returncode, report=found, account=f"{json.dumps(found['findings'], indent=1)}\n{done.stdout}{done.stderr}")


def named(way: Way) -> str:
    """How pytest calls a way."""
    return way.name


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_every_server_is_there(server: Proxy):
    """
    A server that is not installed is a failure of the lab, and the message says what installs it.
    """
    assert Path(server.find()).exists()
    with running(server, {}, ""):
        pass


@pytest.mark.parametrize("way", HEALTHY, ids=named)
def test_what_streams_is_viable(way: Way, tmp_path: Path):
    """
    A real server of each kind, directly and behind a proxy that passes streams on: viable, without an error, its tokens seen.
    """
    said = observe(way, tmp_path / way.name)
    assert (said.status, said.report["verdict"], said.first) == (0, "viable", None), said.account
    (stream,) = said.report["test_results"]
    assert stream["tokens"] >= way.kind.tokens
    assert 0 <= stream["first_token_time"] <= stream["last_event_time"]
    assert stream["token_gap_median"] <= stream["token_gap_p99"]
    assert (stream["negotiated"] or "").startswith("MCP 20") is way.kind.preset.startswith("mcp")


@pytest.mark.parametrize("way", HELD, ids=named)
def test_what_is_held_back_is_named(way: Way, tmp_path: Path):
    """
    Behind a real proxy that buffers or compresses: not viable, with the name of how, though no event has a time stamp.
    """
    said = observe(way, tmp_path / way.name)
    assert (said.first, said.report["verdict"], said.status) == (way.label, "not-viable", 1), said.account


@pytest.mark.parametrize("way", CUT, ids=named)
def test_what_is_cut_is_named(way: Way, tmp_path: Path):
    """
    Cut before its last event, by the server or on the way: not viable, with the name of the cut.
    """
    for attempt in range(3):  # cuts at one event come at one age by chance, and then look like a limit on that
        said = observe(way, tmp_path / f"{way.name}-{attempt}")
        if said.first == way.label:
            break
    assert (said.first, said.report["verdict"], said.status) == (way.label, "not-viable", 1), said.account


def test_the_way_past_the_proxy_makes_it_certain(tmp_path: Path):
    """
    Compared with the same stream past the proxy the finding rests on more than on how the stream looks.
    """
    compared = next(way for way in HELD if way.name == "openai-chat-compared")
    alone = next(way for way in HELD if way.name == "openai-chat-haproxy-wait-for-body")
    findings = [observe(way, tmp_path / way.name).report["findings"][0] for way in (compared, alone)]
    assert [finding["confidence"] for finding in findings] == ["certain", "likely"]
