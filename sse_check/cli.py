"""The doors of the program: arguments, or the action's inputs -> a command -> its exit status. The only place that knows these.

0    viable
1    not viable
2    the scenario or the arguments are wrong; nothing was sent
3    inconclusive
70   a defect of sse-check itself
130, 143   interrupted by SIGINT, SIGTERM; what was measured is reported

Each command is imported when it is asked for: to validate a scenario takes no event loop, and to say a version nothing at all.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TextIO

from sse_check import __version__

if TYPE_CHECKING:
    import argparse

    from sse_check.pipeline import Checked

USAGE: Final = 2
DEFECT: Final = 70

_STATUS: Final = {"viable": 0, "not-viable": 1, "inconclusive": 3}
_FAILS: Final = {"not-viable": {1}, "inconclusive": {1, 3}, "never": set[int]()}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the result is its exit status."""
    given = sys.argv[1:] if argv is None else argv
    if list(given) == ["--version"]:
        # As the parser would, which takes as long to load as Python takes to start.
        print(f"sse-check {__version__}")
        return 0
    secrets: list[str] = []

    def run() -> int:
        from sse_check.arguments import parse

        args = parse(given)
        secrets.extend(os.environ.get(name, "") for name in getattr(args, "secret_env", ()))
        return _run_command(args)

    return _guarded(run, sys.stderr, secrets)


def action(environ: Mapping[str, str]) -> int:
    """Run as the GitHub Action: inputs from the environment, outputs in every case. Human output goes to stdout."""
    from sse_check.interruption import Interruption

    with Interruption() as interruption:
        from sse_check import github

        # First of all: whatever happens from here on, a gate that reads the outputs stays shut.
        github.write_first_outputs(environ)
        secrets = list(github.read_secrets(environ).values())
        github.mask(secrets, sys.stdout)

        def run() -> int:
            from sse_check.action import run_action

            return _exit_status(*run_action(environ, interruption, sys.stdout))

        return _guarded(run, sys.stdout, secrets, annotations=True)


def _guarded(run: Callable[[], int], out: TextIO, secrets: Sequence[str], *, annotations: bool = False) -> int:
    """Errors that can be named become one message and status 2; anything else is a defect, and never "not viable".

    `secrets` are those that are known by the time something goes wrong: the trace of a defect may hold anything.
    """
    try:
        return run()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of stdout has gone; nothing can be told to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return USAGE
    except Exception as error:  # noqa: BLE001  # the boundary: a crash must not look like a verdict
        return _failed(error, out, secrets, annotations=annotations)


def _failed(error: Exception, out: TextIO, secrets: Sequence[str], *, annotations: bool) -> int:
    """Say what ended the program, and the status of it."""
    import traceback

    from sse_check.errors import UsageError
    from sse_check.escape import for_log
    from sse_check.redaction import Redactor
    from sse_check.scenario import ScenarioError

    if isinstance(error, ScenarioError | UsageError):
        if annotations:
            from sse_check import github

            if isinstance(error, ScenarioError):
                github.annotate_mistakes(error.mistakes, out)
            else:
                github.annotate("error", str(error), out, title="sse-check")
        print(for_log(str(error) if isinstance(error, ScenarioError) else f"sse-check: {error}"), file=out)
        return USAGE
    redact = Redactor(secrets).text
    print(for_log(redact(f"sse-check: a defect of sse-check itself: {type(error).__name__}: {error}")), file=out)
    print(for_log(redact("".join(traceback.format_exception(error)))), file=out)
    return DEFECT


def _exit_status(checked: "Checked", fail_on: str | None) -> int:
    if checked.stopped_by is not None:
        return 128 + int(checked.stopped_by)
    if any(service.error for service in checked.result.services):
        # Nothing was asked: a deployment that does not start is the scenario's to mend, whatever verdicts may pass.
        return USAGE
    status = _STATUS[checked.result.verdict]
    return status if fail_on is None or status in _FAILS[fail_on] else 0


# --- commands ---------------------------------------------------------------------------------------------------------


def _run_command(args: "argparse.Namespace") -> int:
    match args.command:
        case "validate":
            return _validate(args)
        case "schema":
            return _schema(args)
        case "serve":
            from sse_check.commands import serve

            serve(args)
            return 0
        case _:
            from sse_check import commands

            return _exit_status(commands.VERDICTS[args.command](args), getattr(args, "fail_on", None))


def _validate(args: "argparse.Namespace") -> int:
    from sse_check.escape import for_log
    from sse_check.scenario import Variables, variables_in
    from sse_check.sources import load_file, variables_of

    given = variables_of(args)
    load_file(args.scenario, Variables(values=given.values, secrets=given.secrets, assume=True))
    open_names = [name for name in variables_in(args.scenario.read_bytes()) if name not in given.values]
    needs = f" (needs the variables {', '.join(open_names)})" if open_names else ""
    print(for_log(f"{args.scenario}: valid{needs}"))
    return 0


def _schema(args: "argparse.Namespace") -> int:
    import json

    if args.of == "scenario":
        from sse_check.scenario import schema as schema_of
    else:
        from sse_check.report import report_schema as schema_of

    print(json.dumps(schema_of(), indent=2))
    return 0
