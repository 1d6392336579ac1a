"""The general cure of each fault: what to change and where, with its source. A hop that is recognised comes first."""

from typing import Final

from sse_check.diagnosis.finding import Fix

_NGINX: Final = "https://nginx.org/en/docs/http/ngx_http_proxy_module.html"
_SSE: Final = "https://html.spec.whatwg.org/multipage/server-sent-events.html"
_DOCS: Final = "https://github.com/org/sse-check/blob/v1/docs"
_HTTP: Final = "https://www.rfc-editor.org/rfc/rfc9110.html"

CURES: Final[dict[str, tuple[Fix, ...]]] = {
    "buffered-full": (
        Fix(where="application", text="Send the response header `X-Accel-Buffering: no`; nginx and several platforms obey it.", source=f"{_NGINX}#proxy_buffering"),
        Fix(where="nginx", text="In the location of the stream: `proxy_buffering off;` and `proxy_http_version 1.1;`.", source=f"{_NGINX}#proxy_buffering"),
        Fix(where="any proxy", text="Switch response buffering off for `text/event-stream`, and response compression too.", source=f"{_SSE}#authoring-notes"),
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
        Fix(where="scenario", text="If the application may take this long, raise `criteria.first_event`.", source=f"{_DOCS}/scenario.md#criteria"),
    ),
    "lost-events": (
        Fix(where="application", text="Look for a queue that drops when a reader is slow, and for several instances that each number their own events.", source=f"{_SSE}#the-last-event-id-header"),
    ),
    "runner-noise": (
        Fix(where="workflow", text="Run again on a runner that does nothing else meanwhile.", source=f"{_DOCS}/diagnoses.md#runner-noise"),
    ),
}  # fmt: skip  # a table
