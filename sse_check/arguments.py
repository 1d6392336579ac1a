"""What the arguments mean: the parser of the command line, and the scenarios that files and arguments describe."""

import argparse
import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from sse_check import __version__
from sse_check.errors import UsageError
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
    check_url,
    compared,
    load_placed,
)
from sse_check.scenario.files import NamedFile, with_files
from sse_check.units import parse_duration, parse_percent

if TYPE_CHECKING:
    from sse_check.baseline import Run

FAIL_ON: Final = ("not-viable", "inconclusive", "never")

_BUDGET_S: Final = 600.0  # of the check of one URL, without its search for limits
_MAX_BODY_BYTES: Final = 10 * 1024 * 1024


class _Parser(argparse.ArgumentParser):
    """Takes options by their whole names only: a new one must not change what half of an old one means."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})


def parser() -> argparse.ArgumentParser:
    """The command line of docs and contract."""
    top = _Parser(
        prog="sse-check",
        description="Do Server-Sent Events really stream through this deployment, and if not, what holds them back and what change cures it?",
    )
    top.add_argument("--version", action="version", version=f"sse-check {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    run = commands.add_parser("run", help="check what a scenario says")
    run.add_argument("scenario", metavar="SCENARIO.yml", type=Path)
    _add_variables(run)
    _add_resolve(run)
    _add_reporting(run, fail_on=True)
    _add_pushing(run)

    probe = commands.add_parser("probe", help="check one URL with the default criteria, alone and three streams at once")
    probe.add_argument("url", metavar="URL")
    probe.add_argument(
        "--deadline",
        metavar="25s",
        type=_type(parse_duration),
        default=Criteria().event_deadline,
        help="every event within, counted from the request",
    )
    probe.add_argument(
        "--success-rate", metavar="90", type=_type(parse_percent), default=Criteria().success_rate, help="percentage of events on time"
    )
    probe.add_argument("-H", "--header", metavar="'Name: value'", action="append", default=[], dest="headers")
    probe.add_argument("--method", metavar="M", help="GET, or POST where there is data")
    probe.add_argument("--data", metavar="@FILE", help="the request's body: text, or @ and a file")
    probe.add_argument(
        "--streams", metavar="N", type=_type(_count), help="streams at once, beside one alone; 1: only the one alone (default 3)"
    )
    probe.add_argument("--events", metavar="N", type=_type(_count), help="a stream has shown enough after so many events")
    probe.add_argument("--duration", metavar="30s", type=_type(parse_duration), help="or after so long (default: the deadline)")
    probe.add_argument("--http2", action="store_const", const="h2", default="http/1.1", dest="protocol", help="over HTTP/2, as browsers do")
    version = probe.add_mutually_exclusive_group()
    version.add_argument("-4", "--ipv4", action="store_const", const="v4", default="any", dest="ip", help="over IPv4 only")
    version.add_argument("-6", "--ipv6", action="store_const", const="v6", dest="ip", help="over IPv6 only")
    probe.add_argument(
        "--limits", metavar="150s", type=_type(parse_duration), help="look for the limits of the way for so long (docs/limits.md)"
    )
    _add_resolve(probe)
    probe.add_argument("--cacert", metavar="FILE", help="a PEM file of further certificate authorities")
    probe.add_argument("--cert", metavar="FILE", help="the client's certificate, a PEM file; with --key, or its key in it")
    probe.add_argument("--key", metavar="FILE", help="the private key of --cert")
    _add_reporting(probe, fail_on=True)
    _add_pushing(probe)

    judge = commands.add_parser("judge", help="judge again what was recorded, without network")
    judge.add_argument("recordings", metavar="RECORDING", nargs="+", type=Path)
    judge.add_argument(
        "--scenario", metavar="SCENARIO.yml", type=Path, help="judge by this scenario's criteria and hints instead of the recorded ones"
    )
    _add_variables(judge)
    earlier = _add_reporting(judge, fail_on=True)
    earlier.add_argument(
        "--compare",
        metavar="RECORDING",
        nargs="+",
        type=Path,
        default=[],
        help="the recordings of an earlier run, to see the two side by side",
    )

    validate = commands.add_parser("validate", help="every mistake of a scenario, with file:line:column")
    validate.add_argument("scenario", metavar="SCENARIO.yml", type=Path)
    _add_variables(validate)

    schema = commands.add_parser("schema", help="the JSON Schema of a scenario, or of report.json")
    schema.add_argument("of", choices=("scenario", "report"), nargs="?", default="scenario")

    demo = commands.add_parser("demo", help="the whole check against the embedded server")
    demo.add_argument("--fault", metavar="CODE", help="let the server show this fault")
    _add_reporting(demo, fail_on=False)

    serve = commands.add_parser("serve", help="the embedded server alone: a reference SSE endpoint with faults on demand")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", metavar="P", type=_type(_port), default=8080)
    return top


def _add_variables(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--var", metavar="K=V", action="append", default=[], dest="variables", help="a variable of the scenario")
    parser.add_argument(
        "--secret-env", metavar="NAME", action="append", default=[], dest="secret_env", help="a secret variable, taken from the environment"
    )


def _add_resolve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--resolve",
        metavar="HOST:PORT:ADDRESS[,…]",
        action="append",
        default=[],
        help="reach a host at this address, whatever its name says",
    )


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
        table[f"{match[1].lower()}:{int(match[2])}"] = ",".join(addresses)
    return table


def _add_reporting(parser: argparse.ArgumentParser, *, fail_on: bool) -> argparse._MutuallyExclusiveGroup:
    """Where the result goes, and what it is compared with; the group of the latter is returned."""
    parser.add_argument("--report-dir", metavar="DIR", type=Path, help="where the reports go")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="what stdout carries")
    if fail_on:
        parser.add_argument(
            "--fail-on",
            choices=FAIL_ON,
            help="which verdicts end with a status other than 0 (default: 1 for not-viable, 3 for inconclusive)",
        )
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--baseline", metavar="REPORT.json", type=Path, help="an earlier run's report, to see what got worse since")
    return earlier


def _add_pushing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pushgateway", metavar="URL", help="push the metrics to this Prometheus Pushgateway")
    parser.add_argument("--otlp", metavar="URL", help="send the metrics to this OTLP/HTTP endpoint (/v1/metrics is added)")


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


def _type(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser of ours as argparse wants it: its message kept, whatever the function is called."""

    def read(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) < 1:
        raise ValueError(f'"{text}" is no count. Write a whole number from 1 to 999999.')
    return int(text)


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise ValueError(f'"{text}" is no port. Write a number from 0 (any free one) to 65535.')
    return int(text)


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


def probe_scenario(args: argparse.Namespace) -> Scenario:
    """One URL with the founding criteria: one stream alone, then three at once."""
    try:
        headers = dict(_header(text) for text in args.headers)
        body = _body(args.data)
    except OSError as error:
        raise UsageError(f"--data: {error.filename} cannot be read: {error.strerror}.") from None
    return url_scenario(
        args.url,
        criteria=Criteria(success_rate=args.success_rate, event_deadline=args.deadline),
        until=Until(events=args.events, duration=args.duration),
        method=(args.method or ("POST" if body is not None else "GET")).upper(),
        headers=headers,
        body=body,
        streams=args.streams or DEFAULT_CONCURRENT_STREAMS,
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
    way: Mapping[str, Any] | None = None,
    target: Target | None = None,
    limits: LimitSearch | None = None,
) -> Scenario:
    """A scenario for one URL: one stream alone and, if more are wanted, so many at once. Raises UsageError for a bad URL.

    `way` are further fields of its probes, `target` what holds for every request, `limits` a search that begins after them.
    """
    try:
        check_url(url)
    except ValueError as error:
        raise UsageError(str(error)) from None
    until = until or Until()
    alone = Probe(name="alone", url=url, method=method, headers=dict(headers or {}), body=body, until=until, **(way or {}))
    if alone.protocol == "h2" and url.startswith("http:"):
        raise UsageError("--http2: browsers speak HTTP/2 over TLS only. Ask an https:// URL.")
    together = msgspec.structs.replace(alone, name=f"{streams} at once", streams=streams)
    alone = msgspec.structs.replace(alone, limits=limits)
    return Scenario(
        version=1,
        name=urlsplit(url).hostname or "sse-check",
        target=target or Target(),
        criteria=criteria or Criteria(),
        probes=(alone, together) if streams > 1 else (alone,),
        budget=_BUDGET_S + (limits.until if limits else 0.0),
    )


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) is None or re.search(r"[\r\n\0]", value):
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
