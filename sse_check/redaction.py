"""Secrets out of everything that is kept: by value, by header name, by query key. Applied on the way into a recording."""

import base64
import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit, urlunsplit

REDACTED: Final = "***"

# Header and query names whose values are credentials whether or not anybody declared them secret.
_SECRET_NAME: Final = re.compile(
    r"authorization|cookie|token|secret|password|passwd|api[-_]?key|access[-_]?key|signature|credential|session|jwt"
    r"|^(key|sig|auth|code|sas|se|sp|sv)$|^x-amz-(security|signature|credential)",
    re.IGNORECASE,
)
_COOKIE_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 6265, section 4.1.1
# Of what is no URL, where a password in which `/` or `@` is not percent-encoded may reach anywhere.
_USER_INFORMATION: Final = re.compile(r"//.*@.*", re.DOTALL)
_PERCENT: Final = re.compile(r"%[0-9A-F]{2}")
# A derived form shorter than this would hit ordinary words.
_MIN_DERIVED: Final = 8


def _forms(secret: str) -> set[str]:
    """The texts a secret can turn up as: itself, URL-encoded, inside JSON, and inside Base64 at each of its three alignments."""
    forms = {secret, *(line for line in secret.splitlines() if len(line) >= _MIN_DERIVED)}
    raw = secret.encode("utf-8", "surrogateescape")  # an environment may hold any bytes
    derived = {quote(raw, safe=""), quote(raw), quote_plus(raw), json.dumps(secret)[1:-1]}
    for shift in range(3):
        # Only the characters that depend on the secret alone: not those shared with what stands before or after it.
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        whole = encoded[(shift * 8 + 5) // 6 : (shift + len(raw)) * 8 // 6]
        derived |= {whole, whole.replace("+", "-").replace("/", "_")}
    return forms | {form for form in derived if len(form) >= _MIN_DERIVED}


def implied_secrets(headers: Iterable[tuple[str, str]], urls: Iterable[str]) -> list[str]:
    """Credentials that nobody declared: values of secret headers and query keys, and user information in URLs.

    A server may echo them anywhere. Short ones are left alone: removing every `1` would spoil the report.
    """
    found = [part for name, value in headers if _SECRET_NAME.search(name) for part in (value, value.partition(" ")[2])]
    for url in urls:
        try:
            parts = urlsplit(url)
        except ValueError:
            continue  # no URL after all
        found += [form for part in (parts.username, parts.password) if part for form in (part, unquote(part))]
        found += [value for key, value in parse_qsl(parts.query) if _SECRET_NAME.search(key)]
    return [text for text in dict.fromkeys(found) if len(text) >= _MIN_DERIVED]


def named_texts(body: object) -> list[tuple[str, str]]:
    """The texts of a body with the names of their fields, at any depth; a body that is text is looked at as JSON."""
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return []
    found: list[tuple[str, str]] = []
    parts = [body]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            found += [(name, value) for name, value in part.items() if isinstance(value, str)]
            parts += part.values()
        elif isinstance(part, list):
            parts += part
    return found


def _cookie(pair: str) -> str:
    """A cookie's name, if it has a proper one: what stands without is a value."""
    name, equals, _ = pair.partition("=")
    return f"{name.strip()}={REDACTED}" if equals and _COOKIE_NAME.fullmatch(name.strip()) else REDACTED


def _as_pattern(form: str) -> str:
    """A form of a secret as a pattern; the digits of a percent-encoding may be in either case."""
    return _PERCENT.sub(lambda m: f"(?i:{m[0]})", re.escape(form))


class Redactor:
    """Replaces secrets by `***`. Built once for a run, from the secret values that were handed over."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_as_pattern, longest_first))) if forms else None

    @property
    def has_secrets(self) -> bool:
        """Whether there is anything to look for in a text."""
        return self._pattern is not None

    def text(self, text: str) -> str:
        """The text without any of the secrets."""
        return self._pattern.sub(REDACTED, text) if self._pattern else text

    def header(self, name: str, value: str) -> str:
        """A header's value; of cookies only their names remain, which tell load balancers apart."""
        if name.lower() == "set-cookie":
            return self.text(_cookie(value.partition(";")[0]))
        if name.lower() == "cookie":
            return self.text("; ".join(map(_cookie, value.split(";"))))
        return REDACTED if _SECRET_NAME.search(name) else self.text(value)

    def url(self, url: str) -> str:
        """A URL without its user information and without the values of secret query keys."""
        try:
            parts = urlsplit(url)
            _ = parts.port  # what is no number there is the beginning of a password
        except ValueError:
            return self.text(_USER_INFORMATION.sub(f"//{REDACTED}", url))
        netloc = parts.netloc
        if "@" in netloc:
            netloc = f"{REDACTED}@{netloc.rpartition('@')[2]}"
        query = "&".join(self._query_pair(pair) for pair in parts.query.split("&")) if parts.query else ""
        return self.text(urlunsplit((parts.scheme, netloc, parts.path, query, "")))

    def _query_pair(self, pair: str) -> str:
        key, equals, value = pair.partition("=")
        return f"{key}={REDACTED}" if equals and value and _SECRET_NAME.search(unquote_plus(key)) else pair
