"""Single values: a scalar's text as the type that is wanted, and what is wrong with it where it is not."""

import difflib
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import inspect

from sse_check.escape import is_text
from sse_check.hosts import host_in, why_never
from sse_check.redaction import REDACTED, Redactor
from sse_check.units import Unreadable, parse_duration, parse_percent

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
# The keys of mappings whose keys are the scenario's own: what they must look like, what a wrong one is not, and what would be right.
KEYS: Final = {
    "headers": (TOKEN, "no header name", "Use letters, digits and hyphens, as in X-API-Key."),
    "environment": (re.compile(r"[^=\0\s]+"), "no name of a variable", "Use letters, digits and underscores, as in LOG_LEVEL."),
    "files": (re.compile(r"/[^\0]*[^\0/]"), "no path in a container", "Write it from the root, as in /etc/nginx/nginx.conf."),
    "resolve": (
        re.compile(r"[^\s/:\[\]]+(:[0-9]{1,5})?"),
        "no host, nor host:port",
        "Write a host name, with its port where only that is meant.",
    ),
    # RFC 1123, section 2.1: a host name's label.
    "services": (
        re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"),
        "no host name",
        "Use lower-case letters, digits and hyphens, as in app.",
    ),
}
NOT_IN_A_FIELD_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110, section 5.5: no CR, LF, NUL


def read(text: str, kind: inspect.Type, extra: str | None, example: Any) -> Any:
    """One scalar's text as its type. Raises Unreadable."""
    if extra == "duration":
        return parse_duration(text)
    if extra == "percent":
        return parse_percent(text)
    if extra == "events":
        text = text.strip().removesuffix("events").removesuffix("event").strip()
    if isinstance(kind, inspect.IntType):
        if re.fullmatch(r"[+-]?[0-9]{1,12}", text) is None:
            raise Unreadable(f'"{text}" is not a whole number.', f"Write for example {example}.")
        number = int(text)
        if kind.ge is not None and number < kind.ge:
            raise Unreadable(f"{number} is too few.", f"The least is {kind.ge}.")
        if kind.le is not None and number > kind.le:
            raise Unreadable(f"{number} is too many.", f"The most is {kind.le:,}.")
        return number
    if isinstance(kind, inspect.BoolType):
        if text.lower() not in ("true", "false"):
            raise Unreadable(f'"{text}" is not yes or no.', "Write true or false.")
        return text.lower() == "true"
    if isinstance(kind, inspect.LiteralType):
        by_text = {str(value): value for value in kind.values}
        if text not in by_text:
            # A misspelling is near; what only looks a little alike (http2: http/1.1) need not be what was meant.
            misspelt = difflib.get_close_matches(text, by_text, 1, cutoff=0.75)
            right = f'Did you mean "{misspelt[0]}"?' if misspelt else f"Write one of: {', '.join(by_text)}."
            raise Unreadable(f'"{text}" is not known here.', right)
        return by_text[text]
    assert isinstance(kind, inspect.StrType)
    if kind.min_length and len(text) < kind.min_length:
        raise Unreadable("the text is empty.", f"Write for example {example}.")
    if kind.max_length and len(text) > kind.max_length:
        raise Unreadable(f"the text has {len(text):,} characters.", f"At most {kind.max_length} are taken.")
    return _CHECKS[extra](text) if extra in _CHECKS else text


def assumed(kind: inspect.Type, extra: str | None) -> Any:
    """A value of the right kind, in the place of one that a variable will bring."""
    if extra in ("duration", "percent"):
        return 90.0
    if isinstance(kind, inspect.IntType):
        return kind.ge or 1
    if isinstance(kind, inspect.BoolType):
        return True
    if isinstance(kind, inspect.LiteralType):
        return kind.values[0]
    return {"url": "https://variable.invalid", "websocket url": "wss://variable.invalid", "path": "/", "method": "GET"}.get(
        extra or "", "variable"
    )


def check_asked(text: str, schemes: tuple[str, ...] = ("http", "https")) -> str:
    """The same URL, if it is one that a probe may ask. Raises Unreadable, without the URL's credentials in its message."""
    host = host_in(check_url(text, schemes))
    if (why := why_never(host)) is not None:
        raise Unreadable(f"{host} is never asked: {why}.", f"Write for example {schemes[-1]}://app.example.test.")
    return text


def check_url(text: str, schemes: tuple[str, ...] = ("http", "https")) -> str:
    """The same URL, if it can be asked. Raises Unreadable, without the URL's credentials in its message."""
    try:
        return _checked_url(text, schemes)
    except Unreadable as error:
        shown = _without_credentials(text)
        wrong, right = (said.replace(text, shown).replace(text.removeprefix("//"), shown) for said in (error.wrong, error.right))
        raise Unreadable(wrong, right) from None


def _without_credentials(text: str) -> str:
    """What was meant as a URL, as it may be shown; it may have no scheme, or blanks."""
    address, sign, fragment = text.partition("#")
    _, at, host = address.rpartition("@")
    return (f"{REDACTED}@{host}" if at else Redactor().url(address)) + sign + fragment


def _checked_url(text: str, schemes: tuple[str, ...]) -> str:
    example = f"{schemes[-1]}://{text.removeprefix('//')}" if text.strip() else f"{schemes[-1]}://app.example.test"
    if re.search(r"[\x00-\x20\x7f]", text):
        raise Unreadable(f'"{text}" holds a blank or a control character.', "Write it percent-encoded, %20 for a blank.")
    _check_utf8(text)
    try:
        parts = urlsplit(text)
        port = parts.port
        if parts.hostname:
            host_in(text)
    except ValueError as error:
        why = "its host cannot be read" if "@" in text else error  # which may quote what stands before the host
        raise Unreadable(f'"{text}" is no URL ({why}).', f"Write for example {schemes[-1]}://app.example.test:8443.") from None
    if "://" not in text:
        raise Unreadable(f'"{text}" has no scheme.', f"Write {example}.")
    if parts.scheme not in schemes:
        raise Unreadable(f'"{text}" has the scheme {parts.scheme}.', f"Write {' or '.join(s + '://' for s in schemes)}.")
    if not parts.hostname or port == 0:
        raise Unreadable(f'"{text}" names no host and port that can be asked.', f"Write for example {schemes[-1]}://app.example.test.")
    if parts.fragment:
        raise Unreadable(f'"{text}" has a fragment, which is never sent.', "Remove everything from # on.")
    return text


def _check_utf8(text: str) -> None:
    if not is_text(text):  # a secret may be of any bytes
        raise Unreadable(f'"{text}" holds a byte that is not UTF-8.', "Write it percent-encoded, %FF for the byte.")


def _check_path(text: str) -> str:
    _check_utf8(text)
    if "://" in text.partition("?")[0]:
        raise Unreadable(f'"{text}" is a whole URL.', "Use the key url for it, or write only its path.")
    if not text.startswith("/"):
        raise Unreadable(f'"{text}" is no path.', f"Write /{text}.")
    if re.search(r"[\x00-\x20\x7f#]", text):
        raise Unreadable(f'"{text}" holds a blank, a # or a control character.', "Write it percent-encoded, %20 for a blank.")
    return text


def _check_method(text: str) -> str:
    if TOKEN.fullmatch(text) is None:
        raise Unreadable(f'"{text}" is no HTTP method.', "Write GET or POST.")
    return text.upper()


def _check_header_name(text: str) -> str:
    if TOKEN.fullmatch(text) is None:
        raise Unreadable(f'"{text}" is no header name.', "Use letters, digits and hyphens, as in X-Instance.")
    return text


def _check_image(text: str) -> str:
    # Docker's own grammar is longer; this keeps options and blanks out, and leaves the rest to the engine.
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*", text) is None:
        raise Unreadable(f'"{text}" is no image.', "Write for example nginx:1.29.")
    return text


def _check_file(text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise Unreadable(f'"{text}" holds a control character.', "Write a path in the workspace.")
    return text


_CHECKS: Final = {
    "header name": _check_header_name,
    "image": _check_image,
    "file": _check_file,
    "url": check_asked,
    "websocket url": lambda text: check_asked(text, ("ws", "wss")),
    "path": _check_path,
    "method": _check_method,
}


def nearest(word: str, known: Iterable[str], otherwise: str) -> str:
    """The nearest known word as a question, else all of them."""
    known = list(known)
    near = difflib.get_close_matches(word, known, 1)
    return f'Did you mean "{near[0]}"?' if near else f"{otherwise}: {', '.join(known)}."
