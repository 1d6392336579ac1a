"""Which instance of the application, or which part of its platform, made a response: by the header that says so."""

import re
from collections.abc import Iterable
from typing import Final

from sse_check.recording import Head
from sse_check.scenario import Instance

# Headers that deployments use to tell their instances apart, and the part of the value that does it. Of a request's own
# id only what names a place is taken: the rest differs with every response.
_KNOWN: Final = (
    ("x-instance", None),
    ("x-instance-id", None),
    ("x-served-by", None),
    ("x-server-id", None),
    ("x-backend-server", None),
    ("x-backend", None),
    ("x-pod-name", None),
    ("x-pod", None),
    ("x-hostname", None),
    ("x-container-id", None),
    ("x-upstream-addr", None),
    ("fly-machine-id", None),
    ("fly-request-id", re.compile(r".*-([a-z]{3})")),  # 01J…-fra: the region that answered
    ("x-vercel-id", re.compile(r"(?:.*::)?([a-z]{3}\d)::.*")),  # edge::region::id
)
_MOST: Final = 100  # characters of a name that are kept


def instance_of(head: Head | None, wanted: Instance | None) -> str | None:
    """The name of the instance that made a response; None where nothing says it.

    `wanted` is the scenario's own word for the header; else the first of the known ones that is there.
    """
    if head is None:
        return None
    if wanted is not None:
        value = head.header(wanted.header)
        return value and value.strip()[:_MOST]
    for name, part in _KNOWN:
        value = (head.header(name) or "").strip()
        match = part.fullmatch(value) if part else None
        if value and (part is None or match):
            return (match[1] if match else value)[:_MOST]
    return None


def told_apart(names: Iterable[str | None]) -> bool:
    """Whether names found by themselves tell instances apart: one that is new with each of many responses is an id of theirs."""
    known = [name for name in names if name is not None]
    return bool(known) and (len(known) < 4 or len(set(known)) < len(known))
