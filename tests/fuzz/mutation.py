"""Changes to an input that keep its form: JSON stays JSON, frames stay frames, so that what lies behind the readers is reached too."""

import json
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final

_HEAD: Final = 9  # of an HTTP/2 frame

ODD_NUMBERS: Final = (
    *(0, 1, -1, 2, 3, 200, 255, 256, 10**9, -(10**9), 2**31, 2**32, 2**53, 2**53 + 1, 2**62, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30, 10**400),
    *(0.0, -0.0, 0.5, 1e-9, -0.1, 1e-320, 1.7e308, -1.7e308, 1e18, 1e300),
)  # fmt: skip
ODD_TEXTS: Final = (
    *("", " ", "\n", "\u0000", "a\r\nb", "::error::x", "##[error]x", "`", "```", "|", "<b>", "\u202e", "\ufeff", "\ud800", "😀", "***", "é" * 300),
    *("x" * 5000, "a@b", "https://u:p@h.test/?token=x#f", "http://[::1", "1700000000000", "0" * 30, "text/event-stream", "id", "ts", "NaN", "-1"),
)  # fmt: skip


def odd(chance: random.Random) -> Any:
    """A value that few expect."""
    return chance.choice((chance.choice(ODD_NUMBERS), chance.choice(ODD_TEXTS), None, True, False, [], {}, [0], {"a": 1}))


def _parts(value: Any) -> list[tuple[Any, Any]]:
    """Each value within a JSON value, as its container and its key or index."""
    found: list[tuple[Any, Any]] = []
    left = [value]
    while left:
        part = left.pop()
        keys = list(part) if isinstance(part, dict) else range(min(len(part), 50)) if isinstance(part, list) else ()
        found += [(part, key) for key in keys]
        left += [part[key] for key in keys]
    return found


def _changed(value: Any, chance: random.Random) -> Any:
    """The same JSON value with one of its parts replaced, of the same type mostly, or left out, or twice there."""
    parts = _parts(value)
    if not parts:
        return odd(chance)
    container, key = chance.choice(parts)
    old = container[key]
    way = chance.random()
    if way < 0.45:
        if isinstance(old, bool):
            container[key] = not old
        elif isinstance(old, int | float):
            old = old if abs(old) < 1e300 else 1
            container[key] = chance.choice(
                (chance.choice(ODD_NUMBERS), -old, old + 1, old * 1000, chance.randint(-10, 10), old * chance.random())
            )
        elif isinstance(old, str):
            texts = [other[name] for other, name in parts if isinstance(other[name], str)]
            container[key] = chance.choice((chance.choice(ODD_TEXTS), chance.choice(texts), old + chance.choice(ODD_TEXTS), old[:-1]))
        elif isinstance(old, list):
            chance.shuffle(old)
        else:
            container[key] = odd(chance)
    elif way < 0.55:
        container[key] = odd(chance)
    elif way < 0.65:
        del container[key]
    elif way < 0.85:
        # The whole of a column at once: else its length would give it away.
        if isinstance(container, list):
            container[:] = [container[chance.randrange(len(container))] for _ in container]
        elif isinstance(old, list):
            container[key] = [odd_like(item, chance) for item in old]
    else:
        container[key] = deepcopy(chance.choice(parts)[0])  # a copy: no value may hold itself
    return value


def odd_like(old: Any, chance: random.Random) -> Any:
    """A number for a number, a text for a text."""
    if isinstance(old, bool):
        return chance.random() < 0.5
    if isinstance(old, int):
        return chance.choice((chance.choice([n for n in ODD_NUMBERS if isinstance(n, int)]), old + chance.randint(-5, 5), -old))
    return chance.choice(ODD_NUMBERS) if isinstance(old, float) else chance.choice(ODD_TEXTS) if isinstance(old, str) else old


def json_lines(data: bytes, chance: random.Random) -> bytes | None:
    """Lines of JSON with something changed in one of them, or a line twice, away or in another place. None: there is no JSON."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return None
    number = chance.randrange(len(lines))
    way = chance.random()
    if way < 0.06:
        lines.insert(chance.randrange(len(lines) + 1), lines[number])
    elif way < 0.1:
        del lines[number]
    elif way < 0.14:
        chance.shuffle(lines)
    else:
        line = json_text(lines[number], chance)
        if line is None:
            return None
        lines[number] = line + b"\n"
    return b"".join(lines)


def json_text(data: bytes, chance: random.Random) -> bytes | None:
    """A JSON value with up to three of its parts changed. None: it is no JSON."""
    try:
        value = json.loads(data)
        for _ in range(chance.randint(1, 3)):
            value = _changed(value, chance)
        return json.dumps(value).encode()
    except (ValueError, RecursionError):
        return None


def frames(data: bytes, chance: random.Random) -> bytes | None:
    """HTTP/2 frames, of which one has another type, flag, stream or payload, or is twice there, away or in another place."""
    found: list[tuple[bytearray, bytearray]] = []
    at = 0
    while at + _HEAD <= len(data):
        length = int.from_bytes(data[at : at + 3], "big")
        found.append((bytearray(data[at + 3 : at + _HEAD]), bytearray(data[at + _HEAD : at + _HEAD + length])))
        at += _HEAD + length
    if not found:
        return None
    number = chance.randrange(len(found))
    head, payload = found[number]
    match chance.randrange(8):
        case 0:
            head[0] = chance.randrange(12)
        case 1:
            head[1] ^= 1 << chance.randrange(8)
        case 2:
            head[2:6] = chance.choice((0, 1, 2, 3, 5, 2**31 - 1)).to_bytes(4, "big")
        case 3 if payload:
            payload[chance.randrange(len(payload))] = chance.randrange(256)
        case 4:
            payload[chance.randint(0, len(payload)) :] = bytes(chance.randrange(256) for _ in range(chance.randint(0, 9)))
        case 5:
            found.insert(chance.randrange(len(found) + 1), (bytearray(head), bytearray(payload)))
        case 6:
            del found[number]
        case _:
            chance.shuffle(found)
    return b"".join(len(payload).to_bytes(3, "big") + bytes(head) + bytes(payload) for head, payload in found)


def anything(data: bytes, chance: random.Random) -> bytes:
    """Bytes with some changed, put in, left out or repeated."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(out))
        match chance.randrange(5):
            case 0 if out:
                out[at % len(out)] = chance.randrange(256)
            case 1:
                out[at:at] = chance.choice((b"\r", b"\n", b"\0", b":", b" ", b"\xff", b"\xef\xbb\xbf", b"9" * 30, "é😀".encode()))
            case 2:
                del out[at : at + chance.randint(1, 9)]
            case 3:
                out[at:at] = out[at : at + chance.randint(1, 40)] * chance.randint(1, 3)
            case _ if out:
                out[at % len(out)] ^= 1 << chance.randrange(8)
    return bytes(out)


Mutation = Callable[[bytes, random.Random], bytes | None]
# What fits a target's inputs; bytes are changed for all of them.
FITTING: Final[dict[str, Mutation]] = {"recording": json_lines, "baseline": json_text, "http2": frames}


def mutated(name: str, data: bytes, chance: random.Random) -> bytes:
    """An input of this target with something changed: mostly what keeps its form, where there is one."""
    changed = FITTING[name](data, chance) if name in FITTING and chance.random() < 0.85 else None
    return anything(data, chance) if changed is None else changed
