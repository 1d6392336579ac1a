"""The lab's cases: a proxy, how it is configured, the stream behind it, and what is then true of it.

`label` is what the proxy really does, measured with `curl -N` and time stamps, not what sse-check says of it.
`cure` is the change of the configuration that makes the same stream healthy.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from tests.lab.proxies import APACHE, CADDY, ENVOY, HAPROXY, NGINX, NODE, TRAEFIK, VARNISH, Config, Proxy

STREAM: Final = "/events?count=9&every=250ms"
LARGE: Final = "/events?count=24&every=150ms&size=700"  # 18 KB: several buffers of a proxy
LONG: Final = "/events?count=18&every=250ms"  # 4.3 s: older than every limit here
PAUSE: Final = "/events?count=8&every=250ms&fault=no-heartbeat&after=3500ms"  # silent for 3.5 s after the fourth event, and unbroken
HEARTBEATS: Final = "/events?count=2&every=3500ms&heartbeat=500ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One deployment, and the fault code that is its truth; None: it is healthy."""

    name: str
    proxy: Proxy | None  # None: nothing listens there
    config: Config
    label: str | None
    stream: str = STREAM
    origin: str = "embedded"  # or "quiet", or "dead"
    streams: int = 1  # more: one alone, then so many together
    primed: bool = False  # the stream was read once before
    timeout: str = "9s"
    cure: Config | None = None

    def cured(self) -> "Case":
        """The same deployment with its cure."""
        assert self.cure is not None
        return replace(self, config=self.cure, label=None, cure=None)

    @property
    def severity(self) -> str:
        """How bad the label is: a redirect is followed, and only warned of."""
        return "warning" if self.label == "redirected" else "error"

    def scenario(self, base: str) -> dict[str, Any]:
        """What sse-check is told: where the stream is and what ends it, nothing of the proxy."""
        probe = {"path": self.stream, "until": {"event": "complete"}, "timeout": self.timeout}
        probes: list[dict[str, Any]] = [{"name": "alone", **probe}]
        if self.streams > 1:
            probes.append({"name": "together", **probe, "streams": self.streams})
        return {"version": 1, "name": self.name, "target": {"url": base}, "probes": probes}


# --- nginx ------------------------------------------------------------------------------------------------------------

_UNBUFFERED = 'proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection "";'
_GZIP = "gzip on; gzip_types text/event-stream; gzip_min_length 1; gzip_proxied any;"
_CACHE = "proxy_cache_path @dir@/cache levels=1 keys_zone=lab:1m;"
_LIMIT = "limit_conn_zone $server_port zone=lab:1m;"

_NGINX = (
    Case(name="nginx-unbuffered", proxy=NGINX, config={"location": _UNBUFFERED}, label=None),
    Case(name="nginx-unbuffered-together", proxy=NGINX, config={"location": _UNBUFFERED}, label=None, streams=4),
    # With buffering on, nginx passes at once what HTTP/1.1 brings in chunks.
    Case(name="nginx-buffered-http-1.1", proxy=NGINX, config={"location": "proxy_http_version 1.1;"}, label=None),
    Case(name="nginx-gzip-unbuffered", proxy=NGINX, config={"http": _GZIP, "location": _UNBUFFERED}, label=None),
    Case(
        name="nginx-heartbeats",
        proxy=NGINX,
        config={"location": _UNBUFFERED + "proxy_read_timeout 2s;"},
        label=None,
        stream=HEARTBEATS,
    ),
    Case(name="nginx-default", proxy=NGINX, config={}, label="buffered-full", cure={"location": "proxy_buffering off;"}),
    Case(
        name="nginx-default-large-events",
        proxy=NGINX,
        config={},
        label="buffered-block",
        stream=LARGE,
        cure={"location": "proxy_buffering off;"},
    ),
    Case(
        name="nginx-gzip-buffered",
        proxy=NGINX,
        config={"http": _GZIP, "location": "proxy_http_version 1.1;"},
        label="compressed-buffered",
        cure={"http": _GZIP, "location": _UNBUFFERED},
    ),
    Case(
        name="nginx-head-with-first-event",
        proxy=NGINX,
        config={"location": "proxy_http_version 1.1;"},
        label="delayed-headers",
        origin="quiet",
        cure={"location": _UNBUFFERED},
    ),
    Case(
        name="nginx-read-timeout",
        proxy=NGINX,
        config={"location": _UNBUFFERED + "proxy_read_timeout 2s;"},
        label="idle-timeout",
        stream=PAUSE,
        cure={"location": _UNBUFFERED + "proxy_read_timeout 1h;"},
    ),
    Case(
        name="nginx-limit-conn",
        proxy=NGINX,
        config={"http": _LIMIT, "location": _UNBUFFERED + "limit_conn lab 2;"},
        label="concurrency-limited",
        streams=4,
        cure={"http": _LIMIT, "location": _UNBUFFERED + "limit_conn lab 100;"},
    ),
    Case(
        name="nginx-cache",
        proxy=NGINX,
        config={
            "http": _CACHE,
            "location": "proxy_cache lab; proxy_cache_key $request_uri; proxy_cache_valid 1h; proxy_ignore_headers Cache-Control;",
        },
        label="cached",
        primed=True,
        cure={"http": _CACHE, "location": _UNBUFFERED + "proxy_cache off;"},
    ),
    Case(name="nginx-upstream-down", proxy=NGINX, config={"location": _UNBUFFERED}, label="http-error", origin="dead"),
    Case(
        name="nginx-redirect",
        proxy=NGINX,
        config={"server": "location = /old { return 307 /events?$args; }", "location": _UNBUFFERED},
        label="redirected",
        stream="/old?count=9&every=250ms",
    ),
    Case(
        name="nginx-single-page-app",
        proxy=NGINX,
        config={"server": "location = /events { default_type text/html; return 200 '<!doctype html><title>App</title>'; }"},
        label="not-sse",
        cure={"location": _UNBUFFERED},
    ),
    Case(
        name="nginx-closes-unanswered",
        proxy=NGINX,
        config={"server": "location = /events { return 444; }"},
        label="refused",
        cure={"location": _UNBUFFERED},
    ),
    Case(
        name="nginx-origin-stalls",
        proxy=NGINX,
        config={"location": _UNBUFFERED},
        label="stalled",
        stream=STREAM + "&fault=stalled",
        timeout="6s",
    ),
    Case(name="nothing-listens", proxy=None, config={}, label="refused"),
)

# --- HAProxy ----------------------------------------------------------------------------------------------------------

_HAPROXY = (
    Case(name="haproxy-no-delay", proxy=HAPROXY, config={"listen": "option http-no-delay"}, label=None),
    # Without http-no-delay every second event comes up to 0.2 s late; that is no buffering to warn of.
    Case(name="haproxy-default", proxy=HAPROXY, config={}, label=None),
    # Its compressor keeps the last bytes of a piece, the empty line among them, until the next: with gzip each event is one behind.
    Case(
        name="haproxy-compression",
        proxy=HAPROXY,
        config={"listen": "option http-no-delay\n  compression algo gzip\n  compression type text/event-stream"},
        label="compressed-buffered",
        stream="/events?count=8&every=600ms",  # it keeps the end of each event until the next: slower than what TCP itself may hold back
        cure={"listen": "option http-no-delay\n  compression algo gzip\n  compression type text/html"},
    ),
    Case(
        name="haproxy-wait-for-body",
        proxy=HAPROXY,
        config={"listen": "http-response wait-for-body time 20s"},
        label="buffered-full",
        cure={"listen": "option http-no-delay"},
    ),
    Case(
        name="haproxy-timeout-server",
        proxy=HAPROXY,
        config={"listen": "option http-no-delay\n  timeout server 2s"},
        label="idle-timeout",
        stream=PAUSE,
        cure={"listen": "option http-no-delay\n  timeout server 1h"},
    ),
    # The streams over the limit wait in the queue until others end.
    Case(
        name="haproxy-maxconn",
        proxy=HAPROXY,
        config={"listen": "option http-no-delay\n  timeout queue 30s\n  default-server maxconn 2"},
        label="concurrency-limited",
        streams=4,
        cure={"listen": "option http-no-delay\n  default-server maxconn 100"},
    ),
    Case(name="haproxy-upstream-down", proxy=HAPROXY, config={"listen": "retries 0"}, label="http-error", origin="dead"),
)

# --- Caddy ------------------------------------------------------------------------------------------------------------

_CADDY = (
    Case(name="caddy-default", proxy=CADDY, config={}, label=None),
    Case(name="caddy-encode", proxy=CADDY, config={"site": "encode gzip zstd"}, label=None),
    Case(name="caddy-flush-interval", proxy=CADDY, config={"reverse_proxy": "flush_interval 1s"}, label=None),  # ignored for event streams
    Case(
        name="caddy-response-buffers",
        proxy=CADDY,
        config={"reverse_proxy": "response_buffers 10MiB"},
        label="buffered-full",
        cure={"reverse_proxy": "flush_interval -1"},
    ),
    Case(
        name="caddy-read-timeout",
        proxy=CADDY,
        config={"reverse_proxy": "transport http {\n read_timeout 2s\n }"},
        label="idle-timeout",
        stream=PAUSE,
        cure={"reverse_proxy": "transport http {\n read_timeout 1h\n }"},
    ),
    Case(
        name="caddy-write-timeout",
        proxy=CADDY,
        config={"global": "servers {\n timeouts {\n write 2500ms\n }\n }"},
        label="duration-limit",
        stream=LONG,
        cure={"global": "servers {\n timeouts {\n write 1h\n }\n }"},
    ),
    Case(
        name="caddy-max-conns",
        proxy=CADDY,
        config={"reverse_proxy": "transport http {\n max_conns_per_host 2\n }"},
        label="concurrency-limited",
        streams=4,
        cure={"reverse_proxy": "transport http {\n max_conns_per_host 100\n }"},
    ),
    Case(
        name="caddy-header-timeout",
        proxy=CADDY,
        config={"reverse_proxy": "transport http {\n response_header_timeout 1s\n }"},
        label="http-error",
        stream=STREAM + "&fault=delayed-headers&first=1800ms",
    ),
    Case(
        name="caddy-redirect",
        proxy=CADDY,
        config={"site": "@old path /old\n redir @old /events?{query} 308"},
        label="redirected",
        stream="/old?count=9&every=250ms",
    ),
)

# --- Traefik ----------------------------------------------------------------------------------------------------------

_TRAEFIK = (
    Case(name="traefik-default", proxy=TRAEFIK, config={}, label=None),
    Case(name="traefik-compress", proxy=TRAEFIK, config={"middleware": "compress: {}"}, label=None),
    # Neither limits a response that is under way.
    Case(
        name="traefik-read-and-idle-timeout",
        proxy=TRAEFIK,
        config={"entry_point": "transport: {respondingTimeouts: {readTimeout: 2s, idleTimeout: 1s}}"},
        label=None,
        stream=PAUSE,
    ),
    Case(
        name="traefik-buffering",
        proxy=TRAEFIK,
        config={"middleware": "buffering: {maxResponseBodyBytes: 10000000}"},
        label="buffered-full",
        cure={},
    ),
    Case(
        name="traefik-write-timeout",
        proxy=TRAEFIK,
        config={"entry_point": "transport: {respondingTimeouts: {writeTimeout: 2500ms}}"},
        label="duration-limit",
        stream=LONG,
        cure={"entry_point": "transport: {respondingTimeouts: {writeTimeout: 0s}}"},
    ),
    Case(
        name="traefik-in-flight",
        proxy=TRAEFIK,
        config={"middleware": "inFlightReq: {amount: 2}"},
        label="concurrency-limited",
        streams=4,
        cure={"middleware": "inFlightReq: {amount: 100}"},
    ),
    Case(
        name="traefik-no-route",
        proxy=TRAEFIK,
        config={"rule": "Host(`app.example.test`)"},
        label="http-error",
        cure={},
    ),
)

# --- Varnish ----------------------------------------------------------------------------------------------------------

_VARNISH = (
    Case(name="varnish-default", proxy=VARNISH, config={}, label=None),  # the origin says no-cache
    Case(name="varnish-pass", proxy=VARNISH, config={"recv": "return (pass);"}, label=None, streams=3),
    Case(
        name="varnish-no-streaming",
        proxy=VARNISH,
        config={"recv": "return (pass);", "backend_response": "set beresp.do_stream = false;"},
        label="buffered-full",
        cure={"recv": "return (pass);", "backend_response": "set beresp.do_stream = true;"},
    ),
    Case(
        name="varnish-gzip",
        proxy=VARNISH,
        config={"recv": "return (pass);", "backend_response": "set beresp.do_gzip = true;"},
        label="buffered-full",  # for clients that take no gzip as well
        cure={"recv": "return (pass);"},
    ),
    Case(
        name="varnish-between-bytes-timeout",
        proxy=VARNISH,
        config={"recv": "return (pass);", "backend": ".between_bytes_timeout = 2s;"},
        label="idle-timeout",
        stream=PAUSE,
        cure={"recv": "return (pass);"},
    ),
    Case(
        name="varnish-max-connections",
        proxy=VARNISH,
        config={"recv": "return (pass);", "backend": ".between_bytes_timeout = 1h; .max_connections = 2;"},
        label="concurrency-limited",
        streams=4,
        cure={"recv": "return (pass);"},
    ),
    Case(
        name="varnish-cache",
        proxy=VARNISH,
        config={"backend_response": "set beresp.uncacheable = false; set beresp.ttl = 1h; return (deliver);"},
        label="cached",
        primed=True,
        cure={"recv": "return (pass);"},
    ),
)

# --- Apache httpd -----------------------------------------------------------------------------------------------------

_DEFLATE = (
    "LoadModule filter_module @modules@/mod_filter.so\nLoadModule deflate_module @modules@/mod_deflate.so\n"
    "AddOutputFilterByType DEFLATE text/event-stream"
)
_EXTERNAL = (
    'LoadModule ext_filter_module @modules@/mod_ext_filter.so\nExtFilterDefine hold mode=output cmd="/bin/cat"\n'
    "<Location />\nSetOutputFilter hold\n</Location>"
)

_APACHE = (
    Case(name="apache-default", proxy=APACHE, config={}, label=None),
    Case(name="apache-deflate", proxy=APACHE, config={"server": _DEFLATE}, label=None),
    Case(name="apache-external-filter", proxy=APACHE, config={"server": _EXTERNAL}, label="buffered-full", cure={}),
    Case(
        name="apache-proxy-timeout",
        proxy=APACHE,
        config={"server": "ProxyTimeout 2"},
        label="idle-timeout",
        stream=PAUSE,
        cure={"server": "ProxyTimeout 3600"},
    ),
    Case(
        name="apache-max",
        proxy=APACHE,
        config={"proxy_pass": "max=2 acquire=500"},
        label="concurrency-limited",
        streams=4,
        cure={},
    ),
    Case(name="apache-upstream-down", proxy=APACHE, config={}, label="http-error", origin="dead"),
)

# --- Envoy ------------------------------------------------------------------------------------------------------------

_COMPRESSOR = (
    "- {name: gzip, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor, "
    "response_direction_config: {common_config: {min_content_length: 1, content_type: [text/event-stream]}}, "
    "compressor_library: {name: gzip, "
    "typed_config: {'@type': type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip}}}}"
)
_LUA = (
    "- {name: lua, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, "
    "default_source_code: {inline_string: 'function envoy_on_response(handle) handle:body() end'}}}"
)

_ENVOY = (
    Case(name="envoy-no-timeout", proxy=ENVOY, config={}, label=None),
    Case(name="envoy-compressor", proxy=ENVOY, config={"filter": _COMPRESSOR}, label=None),
    Case(name="envoy-lua-body", proxy=ENVOY, config={"filter": _LUA}, label="buffered-full", cure={}),
    # The default is 15 s.
    Case(
        name="envoy-route-timeout",
        proxy=ENVOY,
        config={"route": "timeout: 3s"},
        label="duration-limit",
        stream=LONG,
        cure={"route": "timeout: 0s"},
    ),
    Case(
        name="envoy-idle-timeout",
        proxy=ENVOY,
        config={"route": "timeout: 0s, idle_timeout: 2s"},
        label="idle-timeout",
        stream=PAUSE,
        cure={"route": "timeout: 0s, idle_timeout: 3600s"},
    ),
    Case(
        name="envoy-circuit-breaker",
        proxy=ENVOY,
        config={"cluster": "circuit_breakers: {thresholds: [{max_requests: 2}]}"},
        label="concurrency-limited",
        streams=4,
        cure={},
    ),
)

# --- node: http-proxy, http-proxy-middleware, compression ---------------------------------------------------------------

_PROXY = """\
const proxy = httpProxy.createProxyServer({ target, %s });
proxy.on("error", () => {});
http.createServer((request, response) => proxy.web(request, response)).listen(port, host);
"""
_EXPRESS = """\
const app = express();
%s
app.use(createProxyMiddleware({ target, changeOrigin: true }));
app.listen(port, host);
"""
_INTERCEPTOR = """\
const app = express();
app.use(createProxyMiddleware({ target, selfHandleResponse: true, on: { proxyRes: responseInterceptor(async (body) => body) } }));
app.listen(port, host);
"""
# What applications write that look into a stream: `hold` sees each piece and says what goes on, and when.
_HANDLER = """\
const proxy = httpProxy.createProxyServer({ target, selfHandleResponse: true });
proxy.on("error", () => {});
proxy.on("proxyRes", (upstream, request, response) => {
  response.writeHead(upstream.statusCode, upstream.headers);
  response.flushHeaders();
  %s
  response.on("close", () => upstream.destroy());
});
http.createServer((request, response) => proxy.web(request, response)).listen(port, host);
"""
_TIMER = """\
let held = [];
  const flush = () => response.write(Buffer.concat(held.splice(0)));
  const timer = setInterval(flush, 1000);
  upstream.on("data", (piece) => held.push(piece));
  upstream.on("end", () => { clearInterval(timer); flush(); response.end(); });
  response.on("close", () => clearInterval(timer));
"""
_LOOK_AHEAD = """\
let held = Buffer.alloc(0);
  upstream.on("data", (piece) => { if (held.length) response.write(held); held = piece; });
  upstream.on("end", () => response.end(held));
"""
# At another age each time: no limit, a hop that breaks.
_BREAK_OFF = """\
upstream.pipe(response);
  ages.push(ages.shift());
  setTimeout(() => response.destroy(), ages[0]);
"""
_AGES = "const ages = [700, 1900, 1200, 2300];\n"
_PIPE = "upstream.pipe(response);"

_NODE = (
    Case(name="node-http-proxy", proxy=NODE, config={}, label=None),
    Case(name="node-http-proxy-middleware", proxy=NODE, config={"script": _EXPRESS % ""}, label=None, streams=3),
    Case(
        name="node-head-with-first-event",
        proxy=NODE,
        config={},
        label="delayed-headers",
        origin="quiet",
        cure={"script": _HANDLER % _PIPE},
    ),
    Case(
        name="node-compression",
        proxy=NODE,
        config={"script": _EXPRESS % "app.use(compression());"},
        label="compressed-buffered",
        cure={
            "script": _EXPRESS
            % """app.use(compression({ filter: (request, response) =>
  !/event-stream/.test(response.getHeader("content-type")) && compression.filter(request, response) }));"""
        },
    ),
    Case(
        name="node-response-interceptor",
        proxy=NODE,
        config={"script": _INTERCEPTOR},
        label="buffered-full",
        cure={"script": _EXPRESS % ""},
    ),
    # The upstream is given up, but the client's response is never ended.
    Case(
        name="node-proxy-timeout",
        proxy=NODE,
        config={"script": _PROXY % "proxyTimeout: 1500"},
        label="stalled",
        stream=PAUSE,
        timeout="7s",
        cure={"script": _PROXY % "proxyTimeout: 3600000"},
    ),
    Case(
        name="node-timer",
        proxy=NODE,
        config={"script": _HANDLER % _TIMER},
        label="buffered-time",
        stream=LONG,
        cure={"script": _HANDLER % _PIPE},
    ),
    Case(
        name="node-look-ahead",
        proxy=NODE,
        config={"script": _HANDLER % _LOOK_AHEAD},
        label="one-behind",
        stream="/events?count=8&every=600ms",  # slower than what TCP itself may hold back
        cure={"script": _HANDLER % _PIPE},
    ),
    Case(
        name="node-breaks-off",
        proxy=NODE,
        config={"script": _AGES + _HANDLER % _BREAK_OFF},
        label="truncated",
        stream=LONG,
        cure={"script": _HANDLER % _PIPE},
    ),
)

CASES: Final = (*_NGINX, *_HAPROXY, *_CADDY, *_TRAEFIK, *_VARNISH, *_APACHE, *_ENVOY, *_NODE)


def _same(one: Case, other: Case) -> bool:
    """The same deployment under another name."""
    return replace(one, name=other.name, timeout=other.timeout) == other


# A cure that is one of the healthy deployments needs no second run.
CURED: Final = tuple(
    cured for case in CASES if case.cure is not None for cured in [case.cured()] if not any(_same(cured, healthy) for healthy in CASES)
)
