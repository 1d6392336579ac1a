"""The scenario as it may be kept beside what was observed: without secrets."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from sse_check.redaction import Redactor
from sse_check.scenario.model import Scenario

# Fields of a scenario with a closed set of values, which a secret can only equal by chance.
_NO_TEXT: Final = frozenset({"version", "method", "deadline_from", "decide", "unit", "preset", "protocol", "ip"})


def redact_scenario(scenario: Scenario, redactor: Redactor) -> Scenario:
    """The scenario as it may be kept: secrets out of headers, URLs, bodies and names."""

    def part(value: Any, field: str) -> Any:
        if isinstance(value, Struct):
            return msgspec.structs.replace(value, **{f: part(getattr(value, f), f) for f in value.__struct_fields__ if f not in _NO_TEXT})
        if isinstance(value, tuple):
            return tuple(part(item, field) for item in value)
        if field == "headers":
            return {name: redactor.header(name, text) for name, text in value.items()}
        if field == "env":
            # DATABASE_URL and the like hold a password in a place that no name tells.
            return {name: redactor.header(name, redactor.url(text) if "://" in text else text) for name, text in value.items()}
        if field == "services":
            return {name: part(service, name) for name, service in value.items()}
        if field in ("url", "path", "health", "direct", "http", "first_byte", "silent", "heartbeat", "steady") and isinstance(value, str):
            return value and redactor.url(value)
        return texts(value)

    def texts(value: Any) -> Any:
        if isinstance(value, dict):
            return {redactor.text(name): texts(item) for name, item in value.items()}
        if isinstance(value, list):
            return [texts(item) for item in value]
        return redactor.text(value) if isinstance(value, str) else value

    redacted: Scenario = part(scenario, "")
    return redacted
