"""The hosts of URLs: each in one spelling, whether a list of patterns allows it, and which addresses are never asked.

A scenario may come from a fork, and a redirect from anybody. What both must not reach are the services by which clouds
hand credentials to their machines, whatever a name, an encoding of an address or a second look-up makes of it. Sources:

* URL Standard, "host parsing" and "IPv4 parser": `2130706433`, `0x7f.1` and `0177.0.0.1` are all 127.0.0.1.
* RFC 3927 and RFC 4291, section 2.5.6: link-local addresses; Amazon, Azure, Google, Oracle and others answer at 169.254.169.254.
* "Use IMDS" (Amazon EC2): fd00:ec2::254; "What is IP address 168.63.129.16?" (Azure); "Instance metadata" (Alibaba Cloud):
  100.100.100.200; "Instance Metadata" (Oracle Cloud Infrastructure Classic): 192.0.0.192; "View and query VM metadata"
  (Google Cloud): metadata.google.internal, metadata.goog, fd20:ce::254.
* RFC 4291, section 2.5.5, RFC 6052, RFC 8215, RFC 3056 and RFC 4380: IPv6 addresses that hold one of IPv4.
"""

import ipaddress
import re
from collections.abc import Iterable
from contextlib import suppress
from fnmatch import fnmatchcase
from glob import escape as glob_escape
from typing import Final
from urllib.parse import urlsplit

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LINK_LOCAL: Final = "link-local addresses lead to what clouds hand credentials out by"
_METADATA: Final = "a cloud hands credentials out there"
_NEVER: Final = tuple(
    (ipaddress.ip_network(network), why)
    for network, why in (
        ("169.254.0.0/16", _LINK_LOCAL),
        ("fe80::/10", _LINK_LOCAL),
        ("fd00:ec2::/32", _METADATA),
        ("fd20:ce::254/128", _METADATA),
        ("168.63.129.16/32", "the host of Azure's virtual machines answers there"),
        ("100.100.100.200/32", _METADATA),
        ("192.0.0.192/32", _METADATA),
    )
)
_NAMES: Final = frozenset({"metadata.google.internal", "metadata.goog"})
_NAT64: Final = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48")))
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
# URL Standard, "forbidden domain code point", as far as one can be left in a host: whoever reads on would take it for the host's end.
_NO_HOST: Final = frozenset(map(chr, range(0x21))) | frozenset('<>\\^`|"{}%\x7f')
_MAX_HOST: Final = 254  # RFC 1035, section 2.3.4, and a final dot; to encode a much longer one takes seconds
_NUMBER: Final = re.compile(r"0x[0-9a-f]*|[0-9]+")
# A pattern of digits and wildcards is meant for addresses: `10.*` must not allow 10.example.test.
_OF_ADDRESSES: Final = re.compile(r"(?=.*[0-9])[0-9.*?]+")
_BRACKETED: Final = re.compile(r"\[([^\[\]]+)\](?::([0-9*?]+))?")


def literal_address(host: str) -> _Address | None:
    """The address that a URL's host is by itself, in whatever notation; None where it is a name.

    Raises ValueError where it ends in a number, as addresses do, and is none.

        >>> literal_address("0x7f.1")
        IPv4Address('127.0.0.1')
    """
    if ":" in host:
        return ipaddress.ip_address(host)
    parts = host.lower().removesuffix(".").split(".")
    if _NUMBER.fullmatch(parts[-1]) is None:
        return None
    if len(parts) > 4 or not all(map(_NUMBER.fullmatch, parts)):
        raise ValueError(f"{host} ends in a number, but is no IPv4 address")
    *first, last = [_number(part) for part in parts]
    if any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        raise ValueError(f"{host} ends in a number, but is no IPv4 address")
    return ipaddress.IPv4Address(sum(number << (24 - 8 * at) for at, number in enumerate(first)) + last)


def _number(text: str) -> int:
    """A part of an IPv4 address, by C's rules: 0x is hexadecimal, 0 before it octal. Raises ValueError."""
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8) if len(text) > 1 and text.startswith("0") else int(text)


def host_in(url: str) -> str:
    """The host of a URL as it is asked: addresses in their usual notation, names in lower case and ASCII, a final dot kept.

    Raises ValueError where there is none, or where browsers and this program would not find the same one.

        >>> host_in("https://me:pw@BÜCHER.test:8443/")
        'xn--bcher-kva.test'
    """
    parts = urlsplit(url)
    if "\\" in parts.netloc:
        raise ValueError("the URL's host holds a backslash, which browsers take for the end of it")
    host = parts.hostname or ""
    if not host:
        raise ValueError("the URL names no host")
    name, _, zone = host.partition("%")
    if ":" in name:
        return f"{literal_address(name)}{'%' + zone if zone else ''}"
    if any(character in _NO_HOST for character in host):
        raise ValueError("the URL's host holds a character that no host has")
    if len(host) > _MAX_HOST:
        raise ValueError(f"the URL's host is longer than any name is ({_MAX_HOST} characters)")
    if not host.isascii():
        host = host.encode("idna").decode()
    address = literal_address(host)
    return host if address is None else str(address)


def host_allowed(url: str, patterns: Iterable[str] | None) -> bool:
    """Whether a URL's host, or its host and port, matches one of the patterns (`*.example.test`; None: all), in any spelling."""
    if patterns is None:
        return True
    try:
        host = host_in(url).removesuffix(".")
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme in ("https", "wss") else 80)
    except ValueError:
        return False
    return any(_matches(pattern.strip().lower(), host, port) for pattern in patterns)


def exactly(url: str) -> str:
    """The pattern that allows a URL's host and no other. Raises ValueError as `host_in` does."""
    host = host_in(url).removesuffix(".")
    return f"[{host}]" if ":" in host else glob_escape(host)


def _matches(pattern: str, host: str, port: int) -> bool:
    if bracketed := _BRACKETED.fullmatch(pattern):
        name, at = bracketed[1], bracketed[2] or ""
    elif pattern.count(":") > 1:
        name, at = pattern, ""
    else:
        name, _, at = pattern.partition(":")
    if at and not fnmatchcase(str(port), at):
        return False
    if ":" in name:
        with suppress(ValueError):  # one with a wildcard
            name = str(ipaddress.ip_address(name))
        return ":" in host and fnmatchcase(host, name)
    name = name.removesuffix(".")
    if _OF_ADDRESSES.fullmatch(name) and _is_name(host):
        return False
    if not name.isascii():
        name = ".".join(label if label.isascii() else _ascii(label) for label in name.split("."))
    return fnmatchcase(host, name)


def _is_name(host: str) -> bool:
    """Whether a host, as `host_in` gives it, is a name: no address."""
    return literal_address(host) is None


def _ascii(label: str) -> str:
    try:
        return label.encode("idna").decode()
    except UnicodeError:
        return label


def why_never(host: str) -> str | None:
    """Why a host, an address or a name, is never asked, in words; None where it may be. Names are known by what they lead to."""
    name = host.partition("%")[0].lower().removesuffix(".")
    if name in _NAMES:
        return _METADATA
    try:
        address = literal_address(name)
    except ValueError:
        return None  # nobody is reached by it
    if address is None:
        return None
    return next((why for one in _meant(address) for network, why in _NEVER if one in network), None)


def is_public(host: str) -> bool:
    """Whether an address is one of the Internet's, and none of a private network or of this machine (IANA special-purpose registries)."""
    address = literal_address(host.partition("%")[0])
    return address is not None and all(one.is_global for one in _meant(address)[-1:])


def _meant(address: _Address) -> list[_Address]:
    """The address, and those of IPv4 that packets to it end up at."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    found: list[_Address] = [address]
    if address.ipv4_mapped is not None:
        found.append(address.ipv4_mapped)
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found += address.teredo[1:]
    if any(address in network for network in _NAT64) or (address in _COMPATIBLE and int(address) > 1):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return found
