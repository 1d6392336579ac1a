"""What a run is to check: the scenario, the variables and the earlier run that files, options and a URL describe."""

import argparse
import ipaddress
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from sse_check.errors import UsageError
from sse_check.hosts import why_never
from sse_check.scenario import (
    DEFAULT_CONCURRENT_STREAMS,
    Criteria,
    LimitSearch,
    Mistake,
    Place,
    Probe,
    Scenario,
    ScenarioError,
    Target,
    Tls,
    Until,
    Variables,
    check_asked,
    compared,
    load_placed,
    ramp_mistake,
)
from sse_check.scenario.files import NamedFile, with_files
from sse_check.scenario.values import TOKEN

if TYPE_CHECKING:
    from sse_check.baseline import Run

_BUDGET_S: Final = 600.0  # of the check of one URL, without its search for limits
_MAX_BODY_BYTES: Final = 10 * 1024 * 1024


def variables_of(args: argparse.Namespace) -> Variables:
    """The variables that --var and --secret-env hand over. Raises UsageError."""
    values: dict[str, str] = {}
    for pair in args.variables:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f'--var: "{name}" is not K=V. Write --var BASE_URL=https://app.example.test.')
        values[name] = value
    for name in args.secret_env:
        if name not in os.environ:
            raise UsageError(f"--secret-env: the environment has no {name}. Export it, or leave the option out.")
        values[name] = os.environ[name]
    return Variables(values=values, secrets=frozenset(args.secret_env))


def load_file(path: Path, variables: Variables, *, inside: Path | None = None) -> tuple[Scenario, dict[str, Place]]:
    """Read a scenario file with the places in it, and find the files that it names: beside it, else in the working directory.

    Raises ScenarioError, also where one of them cannot be read, or leads out of the directory `inside`.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        mistake = Mistake(
            file=str(path),
            line=1,
            column=1,
            path="",
            wrong=f"the scenario cannot be read: {error.strerror}.",
            right="Name a YAML file, as examples/quickstart.yml is one.",
        )
        raise ScenarioError([mistake]) from None

    found: dict[str, str] = {}

    def unusable(named: NamedFile) -> str | None:
        reasons = []
        for candidate in dict.fromkeys((path.parent / named.name, Path(named.name))):
            why = _unusable(candidate, named, inside)
            if why is None:
                found[named.at] = str(candidate)
                return None
            reasons.append(why)
        return reasons[-1]

    scenario, places = load_placed(raw, file=str(path), variables=variables, unusable=unusable)
    return compared(with_files(scenario, lambda named: found.get(named.at, named.name))), places


def _unusable(path: Path, named: NamedFile, inside: Path | None) -> str | None:
    """Why a file that the scenario names cannot be what it must be, or None."""
    if (why := _outside(path, inside)) is not None:
        return why
    try:
        if named.kind == "build":
            if not path.is_dir():
                return "it is no directory" if path.exists() else "there is no such directory"
            # Within the build's own directory, wherever links lead: else the engine would be sent another file's text.
            if not (path / named.dockerfile).is_file() or _outside(path / named.dockerfile, path.resolve()) is not None:
                return f"it has no {named.dockerfile}"
        elif not path.is_dir() or named.kind == "file":
            with path.open("rb"):
                pass
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _outside(path: Path, inside: Path | None) -> str | None:
    """Why a path, its links followed, is not one of a directory that no path may leave; None where it is."""
    if inside is None:
        return None
    real = path.resolve()
    if not real.is_relative_to(inside):
        return "it is outside the workspace"
    return "it lies in .git, which may hold credentials" if ".git" in real.relative_to(inside).parts else None


def load_baseline(path: Path) -> "Run":
    """The earlier run that --baseline, or the action's input, names. Raises UsageError."""
    from sse_check.baseline.run import MOST_BYTES, BaselineError, read_run  # here: a check without a baseline needs none of it

    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"baseline: {path} is no file. Name the report.json of an earlier run.")
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(
                f"baseline: {path} has more than {MOST_BYTES:,} bytes, which no report has. Name the report.json of an earlier run."
            )
        return read_run(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(
            f"baseline: {path} cannot be read: {error.strerror}. Name the report.json of an earlier run, or leave it out."
        ) from None
    except BaselineError as error:
        raise UsageError(f"baseline: {error}") from None


def probe_scenario(args: argparse.Namespace) -> Scenario:
    """One URL with the founding criteria: one stream alone, then three at once."""
    try:
        headers = dict(_header(text) for text in args.headers)
        body = _body(args.data)
    except OSError as error:
        raise UsageError(f"--data: {error.filename} cannot be read: {error.strerror}.") from None
    method = args.method or ("POST" if body is not None else "GET")
    if TOKEN.fullmatch(method) is None:
        raise UsageError(f'--method: "{method}" is no HTTP method. Write GET or POST.')
    criteria = {"success_rate": args.success_rate, "event_deadline": args.deadline}
    return url_scenario(
        args.url,
        criteria=Criteria(**{name: value for name, value in criteria.items() if value is not None}),
        until=Until(events=args.events, duration=args.duration),
        method=method.upper(),
        headers=headers,
        body=body,
        streams=args.streams or DEFAULT_CONCURRENT_STREAMS,
        ramp=args.ramp,
        way={"protocol": args.protocol, "ip": args.ip},
        limits=None if args.limits is None else LimitSearch(until=args.limits),
        target=Target(resolve=resolve_table(args.resolve), tls=Tls(ca=args.cacert, cert=args.cert, key=args.key)),
    )


def url_scenario(
    url: str,
    *,
    criteria: Criteria | None = None,
    until: Until | None = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
    streams: int = DEFAULT_CONCURRENT_STREAMS,
    ramp: float | None = None,
    way: Mapping[str, Any] | None = None,
    target: Target | None = None,
    limits: LimitSearch | None = None,
) -> Scenario:
    """A scenario for one URL: one stream alone and, if more are wanted, so many at once, opened over `ramp` seconds.

    `way` are further fields of its probes, `target` what holds for every request, `limits` a search that begins after them.
    Raises UsageError for a bad URL, and where the ramp makes no sense.
    """
    try:
        check_asked(url)
    except ValueError as error:
        raise UsageError(str(error)) from None
    until = until or Until()
    alone = Probe(name="alone", url=url, method=method, headers=dict(headers or {}), body=body, until=until, **(way or {}))
    if alone.protocol == "h2" and url.startswith("http:"):
        raise UsageError("--http2: browsers speak HTTP/2 over TLS only. Ask an https:// URL.")
    together = msgspec.structs.replace(alone, name=f"{streams} at once", streams=streams, ramp=ramp)
    alone = msgspec.structs.replace(alone, limits=limits)
    scenario = Scenario(
        version=1,
        name=urlsplit(url).hostname or "sse-check",
        target=target or Target(),
        criteria=criteria or Criteria(),
        probes=(alone, together) if streams > 1 else (alone,),
        budget=_BUDGET_S + (limits.until if limits else 0.0),
    )
    if (mistake := ramp_mistake(scenario, together)) is not None:
        raise UsageError(f"--ramp: {' '.join(mistake)}")
    return scenario


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or TOKEN.fullmatch(name) is None or re.search(r"[\r\n\0]", value):
        raise UsageError(f"-H: \"{name}\" is no header. Write 'Name: value'.")
    return name, value.strip()


def _body(data: str | None) -> str | None:
    if data is None or not data.startswith("@"):
        return data
    path = Path(data[1:])
    if path.stat().st_size > _MAX_BODY_BYTES:
        raise UsageError(f"--data: {path} has more than 10 MiB. Send a smaller body.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"--data: {path} is not UTF-8 text. Only text can be sent.") from None


def resolved(scenario: Scenario, texts: Sequence[str]) -> Scenario:
    """The scenario with the values of --resolve before its own. Raises UsageError."""
    table = {**scenario.target.resolve, **resolve_table(texts)}
    return msgspec.structs.replace(scenario, target=msgspec.structs.replace(scenario.target, resolve=table))


def resolve_table(texts: Iterable[str]) -> dict[str, str]:
    """The values of --resolve, as curl has them, by host:port. Raises UsageError."""
    table = {}
    for text in texts:
        match = re.fullmatch(r"([^:\s]+):([0-9]{1,5}):([0-9A-Fa-f:.,\[\]]+)", text)
        try:
            addresses = [str(ipaddress.ip_address(part.strip("[]"))) for part in match[3].split(",")] if match else []
        except ValueError:
            addresses = []
        if match is None or not addresses:
            raise UsageError(f'--resolve: "{text}" is no HOST:PORT:ADDRESS. Write app.example.test:443:192.0.2.7.')
        if found := [f"{address} is never asked: {why}" for address in addresses if (why := why_never(address)) is not None]:
            raise UsageError(f"--resolve: {found[0]}. Write the address of the deployment.")
        table[f"{match[1].lower()}:{int(match[2])}"] = ",".join(addresses)
    return table
