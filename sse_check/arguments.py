"""The command line: its commands, their options, and how each is written."""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from sse_check import __version__
from sse_check.errors import UsageError
from sse_check.escape import quoted
from sse_check.units import parse_duration, parse_percent

FAIL_ON: Final = ("not-viable", "inconclusive", "never")


class _Parser(argparse.ArgumentParser):
    """Takes options by their whole names only: a new one must not change what half of an old one means."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})


def parse(given: Sequence[str]) -> argparse.Namespace:
    """The arguments as the parser reads them; its own errors end the program with status 2. Raises UsageError."""
    for number, text in enumerate(given, 1):
        if re.search("[\ud800-\udfff]", text):  # how Python has a byte of an argument that is no UTF-8
            raise UsageError(f"argument {number} ({quoted(text)}) holds a byte that is not UTF-8. Write UTF-8; in a URL percent-encoded.")
    return parser().parse_args(given)


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
    _add_sharing(run)
    _add_reporting(run, fail_on=True)
    _add_pushing(run)

    probe = commands.add_parser("probe", help="check one URL with the default criteria, alone and three streams at once")
    probe.add_argument("url", metavar="URL")
    probe.add_argument(
        "--deadline",
        metavar="25s",
        type=_type(parse_duration),
        help="every event within, counted from the request",
    )
    probe.add_argument("--success-rate", metavar="90", type=_type(parse_percent), help="percentage of events on time")
    probe.add_argument("-H", "--header", metavar="'Name: value'", action="append", default=[], dest="headers")
    probe.add_argument("--method", metavar="M", help="GET, or POST where there is data")
    probe.add_argument("--data", metavar="@FILE", help="the request's body: text, or @ and a file")
    probe.add_argument(
        "--streams", metavar="N", type=_type(_count), help="streams at once, beside one alone; 1: only the one alone (default 3)"
    )
    probe.add_argument(
        "--ramp", metavar="10s", type=_type(parse_duration), help="open these one after another over so long, not all at once"
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
    _add_sharing(probe)
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


def _add_sharing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--shard", metavar="I/N", default="", help="open only this share of the streams: 2/4, or job/4 in an Indexed Job of Kubernetes"
    )
    parser.add_argument("--start-at", metavar="INSTANT", default="", help="when all shards begin: 2026-01-15T10:30:00Z")


def _add_pushing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pushgateway", metavar="URL", help="push the metrics to this Prometheus Pushgateway")
    parser.add_argument("--otlp", metavar="URL", help="send the metrics to this OTLP/HTTP endpoint (/v1/metrics is added)")


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
