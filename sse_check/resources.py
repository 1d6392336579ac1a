"""What this machine, or the container on it, has to give: open files, local ports, memory, processor time. It reads, and raises one limit.

Sources: getrlimit(2); the kernel's documentation of ip-sysctl (ip_local_port_range), of cgroup v2 (memory.max, memory.high,
cpu.max) and of cgroup v1 (memory.limit_in_bytes, cpu.cfs_quota_us). What a system does not tell is not known, and None.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What can be had. `open_files` are open already; `most_files` may be open at once, once the soft limit is raised to the hard one.

    `ports` are the local ports for connections to one address and port, `memory` is in bytes, `cores` what the container's
    quota allows of them. None: not known, or not limited.
    """

    open_files: int = 0
    most_files: int | None = None
    ports: int | None = None
    memory: int | None = None
    cores: float | None = None


def read_resources(root: Path = _ROOT) -> Resources:
    """What this process can have, by its own limits and what the system below `root` tells."""
    memory = [_of_meminfo(root), *(_memory_of(group) for group in _groups(root, "memory"))]
    cores = [_cores_of(group) for group in _groups(root, "cpu")]
    return Resources(
        open_files=_open_files(root),
        most_files=_most_files(),
        ports=_ports(root),
        memory=min((left for left in memory if left is not None), default=None),
        cores=min((quota for quota in cores if quota is not None), default=None),
    )


def allow_files(number: int) -> str | None:
    """Raise the soft limit of open files, if it is lower than this. Why it cannot be, or None."""
    if sys.platform == "win32":
        return None
    import resource  # no such module, and no such limit, on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= number:
        return None
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    except (OSError, ValueError) as error:
        # macOS: the hard limit may be "unlimited" where the kernel's own (kern.maxfilesperproc) is not.
        return str(error)
    return None


def _most_files() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return None if hard == resource.RLIM_INFINITY else hard


def _open_files(root: Path) -> int:
    try:
        return sum(1 for _ in (root / "dev/fd").iterdir())
    except OSError:
        return 0


def _ports(root: Path) -> int | None:
    numbers = (_text(root / "proc/sys/net/ipv4/ip_local_port_range") or "").split()
    return int(numbers[1]) - int(numbers[0]) + 1 if len(numbers) == 2 else None


def _of_meminfo(root: Path) -> int | None:
    """The kernel's own estimate of what can be had without swapping (proc_meminfo(5), MemAvailable)."""
    lines = (_text(root / "proc/meminfo") or "").splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The directories of the control groups that this process is in, of both versions, each with those above it."""
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)  # cgroups(7)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / controllers  # of version 2, which names no controllers, the mount itself
        group = top / path.lstrip("/")
        yield from (group, *(above for above in group.parents if above.is_relative_to(top)))


def _memory_of(group: Path) -> int | None:
    limits = [_number(group / name) for name in ("memory.max", "memory.high", "memory.limit_in_bytes")]
    limit = min((limit for limit in limits if limit is not None), default=None)
    used = _number(group / "memory.current")
    used = _number(group / "memory.usage_in_bytes") if used is None else used
    if limit is None or used is None:
        return None
    # Pages of files that nobody reads are given back when memory is wanted, so Kubernetes does not count them either.
    lines = (_text(group / "memory.stat") or "").splitlines()
    idle = {name: int(value) for name, value in (line.split() for line in lines)}
    return max(0, limit - used + idle.get("total_inactive_file", idle.get("inactive_file", 0)))


def _cores_of(group: Path) -> float | None:
    told = (_text(group / "cpu.max") or "").split()  # "max 100000" where there is no quota
    told = told or [_text(group / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")]  # -1 where there is none
    quota, period = told
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.isdecimal() else None  # "max": no limit


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return None
