"""The ways out of sse-check: each is known, takes only what has been made harmless, and is proven by reading what leaves by it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.hostile import attacks, readers, saturated
from tests.support.process import ROOT

PACKAGE: Final = ROOT / "sse_check"

# --- which ways there are ---------------------------------------------------------------------------------------------

# Every place that lets something out, as `module: function: what it does`, and why no text of a stranger's can do harm there.
# Text for people leaves by `put`, which takes `Safe` only (mypy sees to that): what makes `Safe` is in escape.py alone.
WAYS_OUT: Final = {
    "escape: put: .write": "the one way to a terminal or a log",
    "progress: show_result: .print": "rich, of a Text: styles, and the text of terminal_text",
    "progress: show_result: Console": "as above",
    "progress: Progress.show: Console": "rich's live table: Text of visible values, which interprets no markup",
    "github: write_outputs: .write": "GITHUB_OUTPUT: each value up to a delimiter that nobody can foresee",
    "github: append_summary: .write": "GITHUB_STEP_SUMMARY: summary_markdown",
    "pipeline: _write: .writelines": "the report directory: what the renderers return; each is read by tests/hostile/readers.py",
    "monitoring: _answer: Request": "an HTTP request: what prometheus_client and otlp_json have made",
    "reaper: main: .write": "a constant, to the parent process",
    "services.deployment: Deployment.down: .write": "a constant, to the child process",
    "transport.wire: Wire.write: .write": "bytes into TLS",
    "transport.wire: Wire._readable: .write": "bytes out of TLS",
    "transport.http1: fetch: .write": "a request, to the target",
    "planning: Planner._request: Request": "a request, to the target",
    "calibration: calibrate: Request": "a request, to the embedded server",
    "transport.http2_connection: Connection._flush: .write": "a request, to the target",
    "origin.server: *: .write": "the embedded server's own answers",
    "origin.arms: *: .write": "the embedded server's own answers",
}
_WRITERS: Final = {"write", "writelines", "write_text", "write_bytes", "print", "print_exc", "print_exception", "print_json"}
_WRITING: Final = {"print", "Console", "Request", "urlopen", "exec", "eval"}
_LOGGED: Final = {"debug", "info", "warning", "error", "exception", "critical"}
# Whoever names one of these types says that a text is harmless, or may be told something by a stream of its own.
MAKERS: Final = {
    "Safe": {"escape"},
    "Markdown": {"escape", "report.markdown", "report.mermaid"},
    "Markup": {"report.html"},
    "stdout": {"cli", "commands", "reaper", "services.deployment"},
    "stderr": {"cli", "commands", "checking"},
    "PackageLoader": {"report.html", "report.markdown"},  # templates, each kind with an environment that escapes
}


def ways_out(source: str, module: str) -> Iterator[str]:
    """Where a module writes, prints or logs."""

    def visit(node: ast.AST, within: tuple[str, ...]) -> Iterator[str]:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            within = (*within, node.name)
        if isinstance(node, ast.Call):
            called = node.func
            name = f".{called.attr}" if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
            of = called.value.id if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) else ""
            logged = name[1:] in _LOGGED and of.lower() in ("log", "logger", "logging", "_log", "_logger", "warnings")
            if name.removeprefix(".") in _WRITING or (name.startswith(".") and name[1:] in _WRITERS) or logged:
                yield f"{module}: {'.'.join(within)}: {name}"
        for child in ast.iter_child_nodes(node):
            yield from visit(child, within)

    yield from visit(ast.parse(source), ())


def named(source: str) -> set[str]:
    """Which of the telling names a module uses: as a call, or as an attribute of sys."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.add(node.func.id)
        if isinstance(node, ast.ClassDef):
            found |= {base.id for base in node.bases if isinstance(base, ast.Name)}
        if isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr", "__stdout__", "__stderr__"):
            found.add(node.attr.strip("_"))
    return found & MAKERS.keys()


def modules() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield ".".join(path.relative_to(PACKAGE).with_suffix("").parts), path.read_text(encoding="utf-8")


def known(way: str) -> bool:
    """Whether a way is listed, by its function or for a whole module."""
    module, _, what = way.split(": ")
    return way in WAYS_OUT or f"{module}: *: {what}" in WAYS_OUT


def test_every_way_out_is_known():
    """
    Nothing in sse-check writes, prints or logs but in the listed places; whoever adds one says why it is harmless.
    """
    found = {way for module, source in modules() for way in ways_out(source, module)}

    assert sorted(way for way in found if not known(way)) == []
    listed = {way for way in WAYS_OUT if "*" not in way}
    assert listed - found == set(), "these are gone: take them from the list"


def test_only_those_who_escape_say_that_a_text_is_harmless():
    """
    `Safe`, `Markdown` and `Markup` are made where text is made harmless, the standard streams are named at the doors only.
    """
    assert {f"{module}: {name}" for module, source in modules() for name in named(source) if module not in MAKERS[name]} == set()


@pytest.mark.parametrize(
    "added",
    [
        "def f(event): print(event.data)",
        "def f(event): sys.stdout.write(event.data)",
        "def f(event): logging.warning(event.data)",
        "def f(event, path): path.write_text(event.data)",
        "def f(event): Console().print(event.data)",
    ],
)
def test_a_new_way_out_would_be_noticed(added: str):
    """
    Whoever writes a server's text anywhere else in the usual ways is told.
    """
    assert [way for way in ways_out(added, "probe") if not known(way)]


# --- templates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(readers.TEMPLATES.iterdir()), ids=lambda path: path.name)
def test_no_template_lets_text_through_as_it_is(path: Path):
    """
    No filter or block switches the escaping off, and in HTML every value of an attribute stands in quotes.
    """
    text = path.read_text(encoding="utf-8")

    assert not re.search(r"\|\s*safe\b|autoescape|Markup", text)
    assert not re.search(r"=\s*\{\{", re.sub(r"\{%.*?%\}", "", text, flags=re.DOTALL))


def test_no_script_of_the_page_makes_elements_of_text():
    """
    The page's own scripts write text by `textContent`, never as HTML.
    """
    for path in sorted((PACKAGE / "report/assets").glob("*.js")):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", path.read_text(encoding="utf-8")
        )


# --- what leaves ------------------------------------------------------------------------------------------------------


def together(most: int) -> list[tuple[str, ...]]:
    """The attacks, as many in one text as stay within so many characters, beyond which a value is cut in a table."""
    packed: list[tuple[str, ...]] = []
    room = 0
    for name in sorted(attacks.ATTACKS, key=lambda name: len(attacks.marked(name))):
        size = len(attacks.marked(name)) + 1
        if size > room:
            packed.append(())
            room = most
        packed[-1] = (*packed[-1], name)
        room -= size
    return packed


@pytest.mark.parametrize("names", together(110), ids=lambda names: names[0])
def test_no_text_of_a_report_is_more_than_text_at_any_exit(names: tuple[str, ...]):
    """
    Whatever text of a result is an attack, each of its renderings reads as it should: nothing runs, nothing is forged, nothing is torn.
    """
    text = "".join(attacks.marked(name).decode("utf-8", "replace") for name in names)

    assert {name: found for name, found in saturated.complaints(text, len(names)).items() if found} == {}
