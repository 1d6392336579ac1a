"""What people stream today, as presets: what a probe of each kind asks, how its stream ends, and what a token is in it.

A preset fills in what the probe leaves open; what the probe says itself stands. Sources: OpenAI's API reference
("Chat completion chunk object"), Anthropic's ("Streaming messages"), the Model Context Protocol (2025-06-18,
"Transports"; 2024-11-05 for the older one), and the GraphQL over Server-Sent Events Protocol of graphql-sse
("distinct connections mode").
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from sse_check.scenario.model import Preset, Probe, Scenario, Until

_PROMPT: Final = "Count from 1 to 60 in words, one number a line."


class _Filling(Struct, frozen=True, kw_only=True):
    """`needs` is the key of the body that only the user knows, and an example of it."""

    method: str = "POST"
    headers: dict[str, str] = {}
    body: dict[str, Any] = {}
    until: Until = Until()
    needs: tuple[str, str] | None = None


_FILLINGS: Final[dict[Preset, _Filling]] = {
    "openai-chat": _Filling(
        headers={"Content-Type": "application/json"},
        body={"stream": True, "messages": [{"role": "user", "content": _PROMPT}]},
        until=Until(data="[DONE]"),
        needs=("model", "{model: gpt-4o-mini}"),
    ),
    "anthropic-messages": _Filling(
        headers={"Content-Type": "application/json", "anthropic-version": "2023-06-01"},
        body={"stream": True, "max_tokens": 512, "messages": [{"role": "user", "content": _PROMPT}]},
        until=Until(event="message_stop"),
        needs=("model", "{model: claude-haiku-4-5}"),
    ),
    # The body is the tool to call: the parameters of tools/call.
    "mcp": _Filling(
        headers={"Content-Type": "application/json", "Accept": "application/json, text/event-stream"},
        needs=("name", "{name: a-tool-that-reports-progress, arguments: {}}"),
    ),
    "mcp-sse": _Filling(method="GET", needs=("name", "{name: a-tool-that-reports-progress, arguments: {}}")),
    "graphql-sse": _Filling(
        headers={"Content-Type": "application/json"},
        until=Until(event="complete"),
        needs=("query", "{query: 'subscription { countdown(from: 10) }'}"),
    ),
}

# The id of the call whose answer ends a conversation with an MCP server; 1 is the initialisation.
MCP_CALL_ID: Final = 2


def with_presets(scenario: Scenario) -> Scenario:
    """The scenario with its presets filled in."""
    return msgspec.structs.replace(scenario, probes=tuple(map(_filled, scenario.probes)))


def _filled(probe: Probe) -> Probe:
    if probe.preset is None:
        return probe
    filling = _FILLINGS[probe.preset]
    given = {name.lower() for name in probe.headers}
    body: dict[str, Any] | str | None = probe.body
    if not isinstance(body, str):
        body = {**filling.body, **(body or {})}
    until = filling.until
    if probe.preset in ("mcp", "mcp-sse"):
        until = Until(json={"id": MCP_CALL_ID})
    named = any(end is not None for end in msgspec.structs.astuple(probe.until))
    return msgspec.structs.replace(
        probe,
        method=filling.method if probe.method == "GET" else probe.method,
        headers={**{name: value for name, value in filling.headers.items() if name.lower() not in given}, **probe.headers},
        body=body,
        until=probe.until if named else until,
        expect=msgspec.structs.replace(probe.expect, gradual=True),
    )


def missing_of(probe: Probe) -> tuple[str, str] | None:
    """What a preset cannot know and the probe does not say: what is wrong, and what would be right."""
    if probe.preset is None:
        return None
    needs = _FILLINGS[probe.preset].needs
    if needs is None:
        return None
    if isinstance(probe.body, str):
        if probe.preset not in ("mcp", "mcp-sse"):
            return None
        # A message is made of it first.
        return f"the preset {probe.preset} needs its body as a mapping.", f"Write body: {needs[1]}."
    if (probe.body or {}).get("stream", True) is False:
        return f"the preset {probe.preset} asks for a stream, and the body says stream: false.", "Leave stream out of the body."
    if (probe.body or {}).get(needs[0]) is not None:  # empty is what a variable is that has no value yet
        return None
    return f'the preset {probe.preset} needs "{needs[0]}" in the body.', f"Add body: {needs[1]}."


def token_characters(preset: Preset, event: str, data: Any) -> int:
    """How many characters of generated text an event brings; of a call's progress, one for each report. 0: none.

    `data` is the event's JSON. What is not of the preset's shape has none: a server may send anything.
    """
    if not isinstance(data, dict):
        return 0
    if preset == "openai-chat":
        choices = data.get("choices")
        deltas = [choice.get("delta") for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
        return sum(_texts(delta, ("content", "reasoning_content", "reasoning", "refusal")) for delta in deltas)
    if preset == "anthropic-messages":
        return _texts(data.get("delta"), ("text", "thinking", "partial_json")) if data.get("type") == "content_block_delta" else 0
    if preset in ("mcp", "mcp-sse"):
        return int(data.get("method") in ("notifications/progress", "notifications/message"))
    return int(event == "next")


def _texts(part: Any, names: tuple[str, ...]) -> int:
    return sum(len(text) for name in names if isinstance(text := part.get(name), str)) if isinstance(part, dict) else 0
