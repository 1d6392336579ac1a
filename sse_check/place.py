"""Where sse-check itself runs: in a container, whose localhost is not the machine's, or not; and as which container."""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

_OWN_MOUNTS: Final = frozenset({"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})
_CONTAINER_ID: Final = re.compile(r"/containers/([0-9a-f]{64})/")


def own_container_id() -> str | None:
    """The id (or the host name, which is the short id by default) of the container that this process runs in; None outside of one.

    Docker mounts three files from `…/containers/<id>/`. Only these mount points count: on the engine's own machine the
    table lists the mounts of every container. Another engine than the one at hand may have started it.
    """
    try:
        table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in table.splitlines():
        root, mount_point = line.split(" ", 5)[3:5]  # proc_pid_mountinfo(5), fields 4 and 5
        if mount_point in _OWN_MOUNTS and (found := _CONTAINER_ID.search(root)):
            return found[1]
    return socket.gethostname() if Path("/.dockerenv").exists() else None


def inside(environ: Mapping[str, str] = os.environ) -> Literal["container", "action"] | None:
    """Whether localhost is a container's own here, and whether that container is a step of a workflow."""
    shares_the_network = Path("/sys/class/net/docker0").exists()
    if shares_the_network or own_container_id() is None:
        return None
    return "action" if environ.get("GITHUB_ACTIONS") == "true" else "container"


def gateway(table: Path = Path("/proc/net/route")) -> str | None:
    """The address of the default route: in a container on a bridge, the machine that it runs on."""
    try:
        rows = [line.split() for line in table.read_text(encoding="ascii").splitlines()[1:]]
        address = next(row[2] for row in rows if row[1] == "00000000" and row[2] != "00000000")
        return socket.inet_ntoa(bytes.fromhex(address)[::-1])  # the kernel prints it in the machine's order, which is little-endian
    except (OSError, StopIteration, ValueError, IndexError):
        return None
