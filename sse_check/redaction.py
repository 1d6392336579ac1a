"""Secrets out of everything that is kept: by value, by header name, by query key. Applied on the way into a recording."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit, urlunsplit

from sse_check.spellings import MIN_DERIVED, spellings

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
# A number shorter than this is a count or a sequence number rather than a secret.
_NUMBER: Final = re.compile(r"-?(?=.{4})[0-9]+(\.[0-9]+)?")


def implied_secrets(headers: Iterable[tuple[str, str]], urls: Iterable[str]) -> list[str]:
    """Credentials that nobody declared: values of secret headers and query keys, and user information in URLs.

    A server may echo them anywhere. Short ones are left alone: removing every `1` would spoil the report.
    """
    found = [part for name, value in headers if _SECRET_NAME.search(name) for part in _parts_of(value)]
    for url in urls:
        try:
            parts = urlsplit(url)
        except ValueError:
            continue  # no URL after all
        found += [form for part in (parts.username, parts.password) if part for form in (part, unquote(part))]
        found += [value for key, value in parse_qsl(parts.query) if _SECRET_NAME.search(key)]
    return [text for text in dict.fromkeys(found) if len(text) >= MIN_DERIVED]


def _parts_of(value: str) -> Iterator[str]:
    """What of a secret header's value may be echoed by itself: it, its credentials, the password in them, a cookie's value."""
    yield value
    scheme, _, credentials = value.partition(" ")
    yield credentials
    if scheme.lower() == "basic":
        with suppress(ValueError):  # no Basic after all
            yield base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    for pair in value.split(";"):
        yield pair.partition("=")[2].strip()


def named_texts(body: object) -> list[tuple[str, str]]:
    """The texts of a body with the names of their fields, at any depth; a body that is text is looked at as JSON, or as a form's."""
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return parse_qsl(str(body))
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


class Redactor:
    """Replaces secrets by `***`. Built once for a run, from the secret values that were handed over."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        given = {secret for secret in secrets if secret}
        longest_first = sorted({form for secret in given for form in spellings(secret)}, key=lambda form: form[1], reverse=True)
        self._pattern = re.compile("|".join(pattern for pattern, _ in longest_first)) if given else None
        # How many characters the longest form of a secret has: so much of a text must be there to tell where one begins.
        self.reach = max((length for _, length in longest_first), default=0)
        self._digits = [secret.strip() for secret in given if _NUMBER.fullmatch(secret.strip())]

    @property
    def has_secrets(self) -> bool:
        """Whether there is anything to look for in a text."""
        return self._pattern is not None

    def text(self, text: str) -> str:
        """The text without any of the secrets."""
        return self._pattern.sub(REDACTED, text) if self._pattern else text

    def beginning(self, text: str, limit: int, *, cut: bool = False) -> str:
        """The first `limit` characters of the text without any of the secrets.

        Of a secret that is cut off, by this or before (`cut`), nothing remains: what is within its `reach` of the cut goes. No
        more than `limit` and `reach` characters are looked at, however long the text is.
        """
        if self._pattern is None or (not cut and len(text) <= limit + self.reach):
            return self.text(text)[:limit]
        text = text[: limit + self.reach]
        sure, at, kept = max(0, len(text) - self.reach), 0, ""
        for found in self._pattern.finditer(text):
            if found.start() >= sure:
                break
            kept += text[at : found.start()] + REDACTED
            at = found.end()
        return (kept + text[at:sure])[:limit]

    def numbers(self, numbers: Sequence[int | float | None]) -> Sequence[int | float | None]:
        """The numbers; None in the place of one that is a secret of digits, or holds it."""
        if not self._digits:
            return numbers
        values = {float(digits) for digits in self._digits}
        within = [digits for digits in self._digits if len(digits) >= MIN_DERIVED]
        return [None if n is None or n in values or any(digits in f"{n}" for digits in within) else n for n in numbers]

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
