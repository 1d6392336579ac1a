"""The general cure of each fault: what to change and where, with its source. A hop that is recognised comes first."""

from typing import Final

from sse_check.diagnosis.finding import Fix

_NGINX: Final = "https://nginx.org/en/docs/http/ngx_http_proxy_module.html"
_SSE: Final = "https://html.spec.whatwg.org/multipage/server-sent-events.html"
DOCS: Final = "https://github.com/org/sse-check/blob/v1/docs"
_HTTP: Final = "https://www.rfc-editor.org/rfc/rfc9110.html"

# Of faults that have one cause among several under their code.
# fmt: off
NO_HTTP2: Final = Fix(where="deployment", text="Switch HTTP/2 on where TLS ends (nginx: `listen 443 ssl http2;`, HAProxy: `alpn h2,http/1.1`), or leave `protocol` out.", source="https://www.rfc-editor.org/rfc/rfc9113.html#name-starting-http-2")
NO_ID: Final = Fix(where="application", text="Give each event an `id`, one that tells which events come after it; then begin after the one that `Last-Event-ID` names.", source=f"{_SSE}#the-last-event-id-header")
HTTP2_PLACES: Final = Fix(where="HTTP/2 server", text="Raise the number of streams that it allows on one connection (nginx: `http2_max_concurrent_streams`, HAProxy: `tune.h2.max-concurrent-streams`); 100 is what RFC 9113 recommends at least.", source="https://www.rfc-editor.org/rfc/rfc9113.html#name-defined-settings")
UNKNOWN_AUTHORITY: Final = (
    Fix(where="scenario", text="If the authority is your own, name it: `target.tls.ca: ca.pem`, or `--cacert ca.pem`.", source=f"{DOCS}/scenario.md#keys"),
    Fix(where="deployment", text="See that its certificate is valid for the name and today, and that the intermediate certificates are sent along.", source=f"{_HTTP}#name-establishing-authority"),
)
POOR_MACHINE: Final = (
    Fix(where="workflow", text="Give the machine what it lacks (files: `ulimit -n`, `docker run --ulimit nofile=…`; local ports: `net.ipv4.ip_local_port_range`; a route, where only IPv6 leads there; a resolver that answers), or share the streams out over several machines (`--shard`).", source=f"{DOCS}/large-runs.md"),
)
CUT_SOONER: Final = Fix(where="scenario", text="Cut it sooner, by a smaller `resume.after`.", source=f"{DOCS}/scenario.md#resume")
AT_ONCE: Final = Fix(where="application", text="Send the head and a comment line (`: open`) at once, before the slow work.", source=f"{_SSE}#authoring-notes")

# fmt: on

CURES: Final[dict[str, tuple[Fix, ...]]] = {
    "buffered-full": (
        Fix(where="application", text="Send the response header `X-Accel-Buffering: no`; nginx and several platforms obey it.", source=f"{_NGINX}#proxy_buffering"),
        Fix(where="nginx", text="In the location of the stream: `proxy_buffering off;` and `proxy_http_version 1.1;`.", source=f"{_NGINX}#proxy_buffering"),
        Fix(where="any proxy", text="Switch response buffering off for `text/event-stream`, and response compression too.", source=f"{_SSE}#authoring-notes"),
    ),
    "one-behind": (
        Fix(where="application", text="Flush after each event, and the compressor too (gzip: sync flush); a comment line after each event pushes it out meanwhile.", source=f"{_SSE}#authoring-notes"),
        Fix(where="any proxy", text="Switch compression off for `text/event-stream`: a compressor that is not flushed keeps the end of what it has.", source=f"{_SSE}#authoring-notes"),
    ),
    "buffered-block": (
        Fix(where="application", text="Send the response header `X-Accel-Buffering: no`, and flush after each event.", source=f"{_NGINX}#proxy_buffering"),
        Fix(where="nginx", text="In the location of the stream: `proxy_buffering off;` and `proxy_http_version 1.1;`.", source=f"{_NGINX}#proxy_buffering"),
        Fix(where="any proxy", text="Switch response buffering off for `text/event-stream`; padding each event to the size of the buffer only helps meanwhile.", source=f"{_SSE}#authoring-notes"),
    ),
    "buffered-time": (
        Fix(where="application", text="Flush after each event instead of on a timer.", source=f"{_SSE}#authoring-notes"),
        Fix(where="any proxy", text="Look for a flush interval or a rate limit, and set it to flush at once for `text/event-stream`.", source=f"{_SSE}#authoring-notes"),
    ),
    "compressed-buffered": (
        Fix(where="whoever compresses", text="Leave `text/event-stream` out of compression, or flush the compressor after each event.", source=f"{_SSE}#authoring-notes"),
        Fix(where="application", text="Send `Cache-Control: no-transform`; compression middleware obeys it (RFC 9111, section 5.2.2.6).", source="https://www.rfc-editor.org/rfc/rfc9111.html#name-no-transform-2"),
    ),
    "delayed-headers": (
        Fix(where="application", text="Send the head and a first comment line (`: open`) at once; most proxies pass the head on with the first byte of the body.", source=f"{_SSE}#authoring-notes"),
    ),
    "idle-timeout": (
        Fix(where="application", text="Send a comment line in every silence, at least every {interval}: `: heartbeat`", source=f"{_SSE}#authoring-notes"),
        Fix(where="proxy", text="Raise its read or idle timeout for the stream (nginx: `proxy_read_timeout 1h;`, HAProxy: `timeout server 1h`).", source=f"{_NGINX}#proxy_read_timeout"),
    ),
    "duration-limit": (
        Fix(where="proxy", text="Raise or switch off its limit on the length of a response (Envoy: route `timeout: 0s`; Go servers: `WriteTimeout`). A heartbeat does not help.", source="https://www.envoyproxy.io/docs/envoy/latest/faq/configuration/timeouts"),
        Fix(where="application", text="Number events and resume from `Last-Event-ID`, so that a cut costs a reconnect and no event.", source=f"{_SSE}#the-last-event-id-header"),
    ),
    "concurrency-limited": (
        Fix(where="proxy", text="Raise its limit on connections or requests (nginx: `limit_conn`, HAProxy: `maxconn`, Traefik: `inFlightReq`): a stream holds a place for as long as it lives.", source="https://docs.haproxy.org/2.6/configuration.html#maxconn"),
        Fix(where="application", text="Raise its number of workers or of concurrent responses; a synchronous worker serves one stream at a time.", source=f"{_SSE}#authoring-notes"),
    ),
    "cached": (
        Fix(where="application", text="Send `Cache-Control: no-store` with the stream (a cache may keep a response that says nothing).", source="https://www.rfc-editor.org/rfc/rfc9111.html#name-no-store-2"),
        Fix(where="cache", text="Pass `text/event-stream` by; do not ignore the origin's Cache-Control there.", source="https://www.rfc-editor.org/rfc/rfc9111.html#name-storing-responses-in-caches"),
    ),
    "resume-broken": (
        Fix(where="application", text="Keep events for a while, and begin after the one that `Last-Event-ID` names; behind several instances keep them where all can read them.", source=f"{_SSE}#the-last-event-id-header"),
    ),
    "no-heartbeat": (
        Fix(where="application", text="Send a comment line at least every {interval}: `: heartbeat`", source=f"{_SSE}#authoring-notes"),
    ),
    "truncated": (
        Fix(where="application", text="Look in its log at the moment of the cut: a crash, a worker's time limit or a restart ends the connection like this.", source=f"{_SSE}#authoring-notes"),
        Fix(where="proxy", text="Compare with its limits on the length and the idle time of a response; send a comment line as heartbeat, and number events so that a client can resume.", source=f"{_SSE}#authoring-notes"),
    ),
    "stalled": (
        Fix(where="application", text="Find out whether it still writes: if it does, something between holds the stream; ask it directly, without the proxies.", source=f"{_SSE}#authoring-notes"),
        Fix(where="proxy", text="A proxy that gave its upstream up but left the client waiting shows the same; look for an upstream timeout in its log.", source=f"{_SSE}#authoring-notes"),
    ),
    "http-error": (
        Fix(where="application", text="Answer 200 for the stream; EventSource gives up for good on any other status.", source=f"{_SSE}#sse-processing-model"),
    ),
    "not-sse": (
        Fix(where="application", text="Answer with `Content-Type: text/event-stream`, and with lines of the form `data: …` that end in a blank line.", source=f"{_SSE}#parsing-an-event-stream"),
        Fix(where="scenario", text="Check the path: an application's catch-all page is answered with 200 as well.", source=f"{_HTTP}#name-200-ok"),
    ),
    "redirected": (
        Fix(where="scenario", text="Ask the final URL. EventSource follows redirects, but a POST can turn into a GET and credentials stay behind.", source="https://fetch.spec.whatwg.org/#http-redirect-fetch"),
    ),
    "refused": (
        Fix(where="deployment", text="See that the name resolves, that something listens on the port, and that its certificate is valid for the name.", source=f"{_HTTP}#name-establishing-authority"),
    ),
    "slow-first-event": (
        Fix(where="application", text="Send the first event (or a comment line) at once and the slow work's result after it; a cold start is cured by an instance that stays up.", source=f"{_SSE}#authoring-notes"),
        Fix(where="scenario", text="If the application may take this long, raise `criteria.first_event`.", source=f"{DOCS}/scenario.md#criteria"),
    ),
    "lost-events": (
        Fix(where="application", text="Look for a queue that drops when a reader is slow, and for several instances that each number their own events.", source=f"{_SSE}#the-last-event-id-header"),
    ),
    "regression": (
        Fix(where="deployment", text="Look at what was released or set anew between the two runs, beginning with the proxies where a hop or the protocol changed.", source=f"{DOCS}/diagnoses.md#regression"),
        Fix(where="scenario", text="Run it again before a rollback: a figure that stays is the deployment's, one that comes and goes with the hour is its load.", source=f"{DOCS}/diagnoses.md#regression"),
        Fix(where="workflow", text="If the change is meant, name this run's `report.json` as the baseline from now on.", source=f"{DOCS}/reports.md#compared-with-an-earlier-run"),
    ),
    "own-limit": (
        Fix(where="scenario", text="End the stream before that: `until: {duration: 30s}`, or after a number of events, `until: {events: 1000}`; or open fewer at once.", source=f"{DOCS}/diagnoses.md#own-limit"),
        Fix(where="application", text="If it should not send so much, look at what it sends: `recording.ndjson` has the size of each event and read.", source=f"{DOCS}/diagnoses.md#own-limit"),
    ),
    "runner-noise": (
        Fix(where="workflow", text="Run again on a runner that does nothing else meanwhile.", source=f"{DOCS}/diagnoses.md#runner-noise"),
    ),
}  # fmt: skip  # a table
