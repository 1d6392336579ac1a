"""The texts a secret can turn up as: in URLs, JSON, markup, mail and Base64, as servers and libraries quote what they were sent.

Each character is looked for in each of its spellings, so it does not matter which characters an encoder leaves alone, nor
whether a text was encoded once or twice. Sources of the spellings:

* RFC 3986, section 2.1, and URL Standard, "application/x-www-form-urlencoded": percent-encoding, and `+` for a blank
* RFC 8259, section 7: escapes in JSON; HTML Standard, "character references", which XML's are among
* RFC 2045, section 6.7: quoted-printable; RFC 4648: Base64 in both alphabets, and hexadecimal
"""

import base64
import re
from html.entities import codepoint2name
from typing import Final

# A form that no longer shows the secret's own characters, or any spelling of them, hits ordinary words where it is shorter than this.
MIN_DERIVED: Final = 8
# Letters and digits are left alone by nearly all encoders; in a secret longer than this they are taken as they are.
_MOST_SPELLED: Final = 200
_MOST_BROKEN: Final = 1000  # characters of Base64 in which lines may end anywhere
_JSON: Final = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def spellings(secret: str) -> list[tuple[str, int]]:
    """Patterns of everything that a secret can turn up as, each with the length of the longest text that it matches.

    The lines of a secret are secrets too; a short one is looked for as it is, and percent-encoded or escaped.
    """
    found = [_spelled(text) for text in dict.fromkeys([secret, *(line for line in secret.splitlines() if len(line) >= MIN_DERIVED)])]
    raw = secret.encode("utf-8", "surrogateescape")
    return found + [_unbroken(form) for form in sorted(_encoded(raw)) if len(form) >= MIN_DERIVED]


def _spelled(text: str) -> tuple[str, int]:
    each = [_spellings_of(char, spelled=len(text) <= _MOST_SPELLED) for char in text]
    pattern = "".join(re.escape(some[0]) if len(some) == 1 else f"(?:{'|'.join(map(re.escape, some))})" for some in each)
    # Host names and HTTP/2's header names arrive in lower case.
    pattern = f"(?i:{pattern})" if len(text) >= MIN_DERIVED else pattern
    return pattern, sum(max(map(len, some)) for some in each)


def _spellings_of(char: str, *, spelled: bool) -> list[str]:
    """All spellings of a character, itself first."""
    if char.isascii() and char.isalnum() and not spelled:
        return [char]
    raw = char.encode("utf-8", "surrogateescape")
    number = ord(char)
    utf16 = [int.from_bytes(unit, "big") for unit in _pairs(char.encode("utf-16-be", "surrogatepass"))]
    found = [char]
    for digits in ("02X", "02x"):
        once = "".join(f"%{byte:{digits}}" for byte in raw)
        found += [once, once.replace("%", "%25"), "".join(f"={byte:{digits}}" for byte in raw)]
        found += ["".join(f"\\u00{unit:{digits}}" if unit < 256 else f"\\u{unit:{digits.replace('2', '4')}}" for unit in utf16)]
        found += ["".join(f"\\x{byte:{digits}}" for byte in raw), f"&#x{number:{digits[-1]}};"]
    found += [f"&#{number};", f"&amp;#{number};"]
    if name := codepoint2name.get(number) or {"'": "apos"}.get(char):
        found += [f"&{name};", f"&amp;{name};"]
    if char == " ":
        found.append("+")
    if char in _JSON:
        found.append(_JSON[char])
    if not char.isascii():
        # As a header's value is read (RFC 9110, section 5.5), and where its bytes are no UTF-8.
        found += [form.encode("utf-8", "surrogateescape").decode("latin-1") for form in (char, char.lower(), char.upper())] + ["\ufffd"]
    return sorted(dict.fromkeys(found), key=lambda form: (form != char, -len(form)))


def _pairs(raw: bytes) -> list[bytes]:
    return [raw[at : at + 2] for at in range(0, len(raw), 2)]


def _encoded(raw: bytes) -> set[str]:
    """Hexadecimal, and Base64 at each of its three alignments."""
    # Digits would hit numbers in hexadecimal where there are few of them.
    forms = {raw.hex(), raw.hex().upper()} if len(raw) >= MIN_DERIVED else set()
    for shift in range(3):
        # Only the characters that depend on the secret alone: not those shared with what stands before or after it.
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        whole = encoded[(shift * 8 + 5) // 6 : (shift + len(raw)) * 8 // 6]
        forms |= {whole, whole.replace("+", "-").replace("/", "_")}
    return forms


def _unbroken(form: str) -> tuple[str, int]:
    """A form of Base64 or hexadecimal; lines of it may end anywhere (RFC 2045, section 6.8), and its signs be percent-encoded."""
    each = [
        re.escape(char) if char.isalnum() or char in "-_" else f"(?:{re.escape(char)}|%{ord(char):02X}|%{ord(char):02x})" for char in form
    ]
    if len(form) > _MOST_BROKEN:
        return "".join(each), 3 * len(form)
    return "(?:\\r?\\n)?".join(each), 5 * len(form)
