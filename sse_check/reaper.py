"""Removes what a run has started, by the run's label and nothing else; also when the run itself was killed.

A run that is killed outright cannot tidy up. So a reaper watches it from outside: beside a container another container
of the same image, beside a process a child in a session of its own. It waits for the run to be over, and then removes
what it finds. What even the reaper could not remove, the next run does: it looks whose owner is gone.

    python -m sse_check.reaper RUN container:ID      waits until that container is over
    python -m sse_check.reaper RUN process:…         waits for the end of its standard input
"""

import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from docker import DockerClient

# On every container and network of a run: which run, and who owns it.
RUN: Final = "sse-check.run"
OWNER: Final = "sse-check.owner"
# On every image that was built, run and owner in one: each label is a layer, and only the last is removed with the image.
IMAGE: Final = "sse-check.image"
# On the reaper's container instead of RUN, so that it does not remove itself before it is done.
REAPER: Final = "sse-check.reaper"

# What a reaper says once it watches, and what it is told when nothing is left to do.
WATCHING: Final = b"watching\n"
DONE: Final = b"done"

_TRIES: Final = 20
_PAUSE_S: Final = 0.1
_JOB_S: Final = 36 * 3600  # longer than any job of GitHub's lives (a self-hosted one may take a day)
# The engine may still finish what a killed run has asked of it: the reaper looks until it has found nothing twice.
_LOOK_AGAIN_S: Final = 2.0
_LOOKS: Final = 60


def sweep(client: "DockerClient", run: str) -> bool:
    """Remove the containers (with their anonymous volumes), networks and images of a run. Doing it twice does no harm.

    Returns whether nothing is left. Raises OSError where the engine does not answer.
    """
    mine: dict[str, str | list[str] | bool] = {"label": f"{RUN}={run}"}
    left = True
    for attempt in range(_TRIES):
        # A removal that is under way answers "conflict"; so it is asked until nothing is left.
        containers = client.containers.list(all=True, filters=mine, ignore_removed=True)
        for container in containers:
            with suppress(OSError):
                container.remove(force=True, v=True)
        networks = client.networks.list(filters=mine)
        for network in networks:
            with suppress(OSError):
                network.reload()
                for member in network.attrs.get("Containers") or {}:
                    network.disconnect(member, force=True)
                network.remove()
        left = bool(containers or networks)
        if not left:
            break
        time.sleep(_PAUSE_S if attempt else 0)
    for image_id, label in _images(client):
        if label.partition(" ")[0] == run:
            with suppress(OSError):
                client.api.remove_image(image_id, force=True, noprune=True)  # its layers stay: the next build uses them
    return not left and not any(label.partition(" ")[0] == run for _, label in _images(client))


def image_labels(run: str, owner: str) -> dict[str, str]:
    """What a run's images carry."""
    return {IMAGE: f"{run} {owner}"}


def _images(client: "DockerClient") -> list[tuple[str, str]]:
    """The images of all runs: their ids and labels."""
    return [(image["Id"], (image.get("Labels") or {}).get(IMAGE, "")) for image in client.api.images(filters={"label": IMAGE})]


def sweep_orphans(client: "DockerClient") -> None:
    """Remove what runs have left whose owner is gone. What cannot be proven to be left behind stays."""
    found = [c.labels for c in client.containers.list(all=True, filters={"label": RUN}, ignore_removed=True)]
    found += [n.attrs.get("Labels") or {} for n in client.networks.list(filters={"label": RUN})]
    runs = {(labels[RUN], labels.get(OWNER, "")) for labels in found}
    runs |= {(label.partition(" ")[0], label.partition(" ")[2]) for _, label in _images(client)}
    for run, owner in runs:
        if is_gone(client, owner):
            sweep(client, run)
    # A running reaper is at work; one that was never started, because its owner was killed just then, never will be.
    for reaper in client.containers.list(all=True, filters={"label": REAPER}, ignore_removed=True):
        if reaper.status != "running" and is_gone(client, reaper.labels.get(OWNER, "")):
            dismiss(client, reaper.labels[REAPER])


def dismiss(client: "DockerClient", run: str) -> None:
    """Remove the reaper's own container."""
    for reaper in client.containers.list(all=True, filters={"label": f"{REAPER}={run}"}, ignore_removed=True):
        with suppress(OSError):
            reaper.remove(force=True)


def owner_label(container_id: str | None) -> str:
    """Who owns what a run starts: its container, or its process (where its number counts, number, start time)."""
    return f"container:{container_id}" if container_id else f"process:{_numbering()}:{os.getpid()}:{_started(str(os.getpid()))}"


def _numbering() -> str:
    """Where a process number means something: this boot of this machine, and this process namespace of it."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if not boot.exists() or not namespace.is_symlink():
        return ""
    return f"{boot.read_text(encoding='ascii').strip()}/{re.sub('[^0-9]', '', str(namespace.readlink()))}"


def _started(pid: str) -> str:
    """When a process was started, in ticks since the boot (proc_pid_stat(5), field 22); empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_gone(client: "DockerClient", owner: str) -> bool:
    """Whether an owner is over for certain: a process of another machine cannot be seen from here, and counts as alive."""
    from docker.errors import NotFound

    if match := re.fullmatch(r"container:([0-9a-f]+)", owner):
        try:
            return client.containers.get(match[1]).status in ("exited", "dead")
        except NotFound:
            return True
    if match := re.fullmatch(r"process:([^:]+):([0-9]+):([0-9]+)", owner):
        return match[1] == _numbering() and _started(match[2]) != match[3]
    return False


def main(run: str, owner: str) -> int:
    """Wait until the owner is over, then remove what its run has left."""
    sys.stdout.buffer.write(WATCHING)
    sys.stdout.buffer.flush()
    if owner.startswith("process:") and sys.stdin.buffer.read() == DONE:
        return 0
    import docker

    client = docker.from_env()
    if owner.startswith("container:"):
        _wait(client, owner)
    clean = 0
    for _ in range(_LOOKS):
        try:
            clean = clean + 1 if sweep(client, run) else 0
        except OSError:
            clean = 0
        if clean == 2:
            return 0
        time.sleep(_LOOK_AGAIN_S)
    return 1


def _wait(client: "DockerClient", owner: str) -> None:
    """Until a container is over; an engine that goes away meanwhile is no reason to believe it."""
    while True:
        with suppress(OSError):
            if is_gone(client, owner):
                return
            client.api.wait(owner.partition(":")[2], timeout=_JOB_S)
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
