"""Presets: what each fills in, what it leaves to the probe, and what a token is in it."""

from typing import Any

import msgspec
import pytest

from sse_check.planning import Planner
from sse_check.probe import Stop
from sse_check.recording import StreamRecording
from sse_check.redaction import Redactor
from sse_check.scenario import Preset, Probe, Scenario, ScenarioError, load, token_characters
from sse_check.schedule import Run, run
from sse_check.verdict import judge
from tests.support.servers import SSE_HEAD, answering, chunk, raw_server

BODIES: dict[Preset, str] = {
    "openai-chat": "{model: m}",
    "anthropic-messages": "{model: m}",
    "mcp": "{name: tool}",
    "mcp-sse": "{name: tool}",
    "graphql-sse": "{query: 'subscription { a }'}",
}


def scenario(preset: Any, body: str | None = None, rest: str = "", base: str = "https://app.example.test") -> Scenario:
    said = "" if body == "" else f", body: {body or BODIES[preset]}"
    return load(
        f"version: 1\ntarget: {{url: '{base}'}}\nprobes: [{{name: p, path: /x, preset: {preset}{said}{rest}}}]".encode(), file="test.yml"
    )


def probe(preset: str, body: str | None = None, rest: str = "") -> Probe:
    return scenario(preset, body, rest).probes[0]


# --- filling in -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "method", "headers", "body", "terminal"),
    [
        ("openai-chat", "POST", {"Content-Type": "application/json"}, {"stream": True}, "[DONE]"),
        ("anthropic-messages", "POST", {"anthropic-version": "2023-06-01"}, {"stream": True, "max_tokens": 512}, "message_stop"),
        ("mcp", "POST", {"Accept": "application/json, text/event-stream"}, {"name": "tool"}, "id: 2"),
        ("mcp-sse", "GET", {}, {"name": "tool"}, "id: 2"),
        ("graphql-sse", "POST", {"Content-Type": "application/json"}, {"query": "subscription { a }"}, "complete"),
    ],
)
def test_a_preset_fills_in_how_its_kind_is_asked_and_ends(
    preset: Preset, method: str, headers: dict[str, str], body: dict[str, Any], terminal: str
):
    """
    The method, the headers and the body that make it stream, the event that ends it, and that its events are made gradually.
    """
    filled = probe(preset)
    assert (filled.method, filled.until.terminal, filled.expect.gradual) == (method, terminal, True)
    assert headers.items() <= filled.headers.items()
    assert isinstance(filled.body, dict)
    assert body.items() <= filled.body.items()


def test_what_the_probe_says_itself_stands():
    """
    Its headers in whatever case, its body key by key, its end, its method.
    """
    filled = probe("anthropic-messages", "{model: m, max_tokens: 9}", ", headers: {Anthropic-Version: v9}, until: {events: 3}, method: PUT")
    assert filled.method == "PUT"
    assert {name.lower(): value for name, value in filled.headers.items()}["anthropic-version"] == "v9"
    assert len(filled.headers) == 2
    assert isinstance(filled.body, dict)
    assert (filled.body["max_tokens"], filled.until.events, filled.until.terminal) == (9, 3, None)


def test_the_other_hints_of_the_probe_are_kept():
    """
    A preset adds `gradual`, and takes nothing away.
    """
    assert msgspec.to_builtins(probe("openai-chat", rest=", expect: {events: 60}").expect) == {
        "events": 60,
        "every": None,
        "heartbeat": None,
        "gradual": True,
    }


@pytest.mark.parametrize("preset", BODIES)
def test_what_only_the_user_knows_is_asked_for(preset: Preset):
    """
    The model, the tool, the query: its lack is a mistake of the scenario that says what would be right.
    """
    with pytest.raises(ScenarioError) as caught:
        scenario(preset, "")
    (mistake,) = caught.value.mistakes
    assert preset in mistake.wrong
    assert mistake.right.startswith("Add body: {")


def test_a_body_as_text_is_sent_as_it_is():
    """
    Whoever writes the whole body says all of it; nothing is checked or filled in.
    """
    assert probe("openai-chat", '\'{"model": "m"}\'').body == '{"model": "m"}'


@pytest.mark.parametrize("preset", ["mcp", "mcp-sse"])
def test_a_tool_to_call_is_no_text(preset: Preset):
    """
    A message is made of the body, so it has to be a mapping.
    """
    with pytest.raises(ScenarioError, match="needs its body as a mapping"):
        scenario(preset, "'tool'")


def test_a_plan_knows_the_preset():
    """
    Tokens are counted while the stream is read, since its data is not kept.
    """
    ((planned,),) = Planner(scenario("openai-chat")).groups()
    assert planned.preset == "openai-chat"


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "kind", "data", "characters"),
    [
        ("openai-chat", "message", {"choices": [{"delta": {"role": "assistant", "content": ""}}]}, 0),
        ("openai-chat", "message", {"choices": [{"delta": {"content": "four"}}]}, 4),
        ("openai-chat", "message", {"choices": [{"delta": {"content": "ab"}}, {"delta": {"reasoning_content": "c"}}]}, 3),
        ("openai-chat", "message", {"choices": [], "usage": {}}, 0),
        ("openai-chat", "message", {"choices": [None, {"delta": None}, {"delta": {"content": 7}}]}, 0),
        ("openai-chat", "message", None, 0),
        ("anthropic-messages", "content_block_delta", {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "abc"}}, 3),
        ("anthropic-messages", "content_block_delta", {"type": "content_block_delta", "delta": {"partial_json": "{"}}, 1),
        ("anthropic-messages", "message_start", {"type": "message_start", "message": {"content": []}}, 0),
        ("anthropic-messages", "ping", {"type": "ping"}, 0),
        ("mcp", "message", {"method": "notifications/progress", "params": {"progress": 1}}, 1),
        ("mcp-sse", "message", {"method": "notifications/message", "params": {}}, 1),
        ("mcp", "message", {"id": 2, "result": {}}, 0),
        ("graphql-sse", "next", {"data": {"countdown": 3}}, 1),
        ("graphql-sse", "complete", {}, 0),
    ],
)
def test_a_token_is_what_brings_text_or_progress(preset: Preset, kind: str, data: Any, characters: int):
    """
    Only events with generated text, a report of progress, or a result count; whatever else the server sends has none.
    """
    assert token_characters(preset, kind, data) == characters


# --- streams ----------------------------------------------------------------------------------------------------------


def chat(*texts: str, end: str = "[DONE]") -> bytes:
    """What an API like OpenAI's streams, in one chunk for each event."""
    events = [
        '{"choices":[{"delta":{"role":"assistant","content":""}}]}',
        *(f'{{"choices":[{{"delta":{{"content":"{t}"}}}}]}}' for t in texts),
    ]
    return SSE_HEAD + b"".join(chunk(f"data: {data}\n\n".encode()) for data in [*events, *([end] if end else [])]) + chunk(b"")


async def streamed(raw: bytes) -> tuple[StreamRecording, list[str]]:
    async with raw_server(answering(raw)) as base:
        recording = await run(scenario("openai-chat", base=base), Run(redactor=Redactor(), stop=Stop()))
    return recording.streams[0], [finding.code for finding in judge(recording).findings]


async def test_a_chat_ends_with_done():
    """
    `data: [DONE]` is the end, whatever comes of the connection; its tokens are counted in characters.
    """
    stream, codes = await streamed(chat("one ", "two"))
    assert (stream.ended, stream.planned_end, list(stream.events.tokens), codes) == ("until", "data", [0, 4, 3, 0], [])


async def test_a_chat_without_done_is_truncated():
    """
    An answer that ends in order but without its last event was cut by something before the proxy.
    """
    stream, codes = await streamed(chat("one ", "two", end=""))
    assert (stream.ended, codes) == ("eof", ["truncated"])


async def test_a_chat_that_is_not_streamed_is_no_stream():
    """
    An API that does not stream answers with JSON.
    """
    body = b'{"choices":[{"message":{"content":"one two"}}]}'
    _, codes = await streamed(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert codes == ["not-sse"]
