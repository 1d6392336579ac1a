"""The ways out of sse-check: each is known, takes only what has been made harmless, and is proven by reading what leaves by it."""

import ast
import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from sse_check import cli
from sse_check.errors import UsageError
from sse_check.pipeline import check
from sse_check.probe import as_url
from sse_check.scenario import Probe, Scenario
from tests.hostile import attacks, exits, readers, saturated
from tests.support.process import ROOT, sse_check
from tests.support.servers import SSE_HEAD, chunk, raw_server

PACKAGE: Final = ROOT / "sse_check"

# --- which ways there are ---------------------------------------------------------------------------------------------

# Every place that lets something out, as `module: function: what it does`, and why no text of a stranger's can do harm there.
# Text for people leaves by `put`, which takes `Safe` only (mypy sees to that): what makes `Safe` is in escape.py alone.
WAYS_OUT: Final = {
    "escape: put: .write": "the one way to a terminal or a log",
    "progress: show_result: .print": "rich, of a Text: styles, and the text of terminal_text",
    "progress: show_result: Console": "as above",
    "progress: Progress.show: Console": "rich's live table: Text of visible values, which interprets no markup",
    "sturdy: _Sturdy.write: .write": "what `put` and rich write, to the stream that is behind it",
    "github: _append: .write": "GITHUB_OUTPUT, each value up to a delimiter that nobody can foresee; GITHUB_STEP_SUMMARY, summary_markdown",
    "pipeline: publish: .write": "the report directory: what the renderers return; each is read by tests/hostile/readers.py",
    "reportdir: ReportDir.write: .writelines": "as above",
    "reportdir: GrowingFile._write: .write": "recording.ndjson while the run lasts: lines of JSON by json_text",
    "monitoring: _answer: Request": "an HTTP request: what prometheus_client and otlp_json have made",
    "reaper: main: .write": "a constant, to the parent process",
    "services.deployment: Deployment.down: .write": "a constant, to the child process",
    "transport.wire: Wire.write: .write": "bytes into TLS",
    "transport.wire: Wire._read: .write": "bytes out of TLS",
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
    "stdout": {"cli", "commands", "reaper", "services.deployment", "sturdy"},
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


@pytest.mark.parametrize(("way", "number"), [("action", 0), ("action", 34), ("command line", 17), ("terminal", 51)])
async def test_nothing_of_a_hostile_server_is_more_than_text(way: str, number: int):
    """
    The real action and command line against a server whose every byte is an attack, by a scenario whose every name is one: each
    exit is there, reads as it should, and holds attacks as text. `python -m tests.hostile exits` tries every attack in every slot.
    """
    async with exits.left_by(exits.WAYS[way][0], number) as left:
        assert left.bad == {}
        assert left.status == 1  # a server that answers nothing properly is not viable
        silent = {"stderr", "GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE"} if way == "action" else set()
        assert {name for name in left.texts if left.marks(name) == 0} == silent


def hostile_error(name: str, kind: type[Exception]) -> Exception:
    return kind(attacks.as_text(name))


@pytest.mark.parametrize("name", attacks.ATTACKS)
@pytest.mark.parametrize("annotations", [True, False], ids=["action", "command line"])
def test_what_ends_the_program_is_told_as_text(name: str, annotations: bool, capsys: pytest.CaptureFixture[str]):
    """
    The text of an error of the user's, or of a defect with its trace, reads as any other line, halves of pairs in it too.
    """
    for kind, status in ((UsageError, 2), (RuntimeError, 70)):

        def fails(kind: type[Exception] = kind) -> int:
            raise hostile_error(name, kind)

        assert cli._guarded(fails, sys.stdout, [], annotations=annotations) == status
        assert list(readers.log(capsys.readouterr().out, action=annotations)) == []


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_arguments_are_repeated_as_text(name: str, capsys: pytest.CaptureFixture[str]):
    """
    What is wrong with an argument is told with the argument in it: one that holds lines and commands is one line, and no command.
    """
    text = attacks.as_text(name)
    for given in (["probe", "http://a.example", "--x", text], ["probe", "http://a.example", f"--deadline={text}"], [f"x{text}"]):
        with pytest.raises(SystemExit):
            cli.main(given)
        said = capsys.readouterr().err
        assert list(readers.log(said, action=False)) == []
        assert said.splitlines()[-1].startswith("sse-check")


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_a_scenario_that_is_wrong_is_told_as_text(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """
    Its file's name, its keys and its values are a fork's: each mistake is one line all the same.
    """
    shown = attacks.marked(name).decode("utf-8", "replace")
    quoted = yaml.safe_dump(shown, default_style='"', width=1_000_000).strip()
    file = tmp_path / (attacks.as_text(name).replace("/", "_").replace("\0", "_")[:40] + ".yml")
    for text in (f"version: 1\n{quoted}: 1\nprobes: [{{name: {quoted}, path: {quoted}, until: {quoted}}}]\n", shown):
        file.write_text(text, encoding="utf-8")
        assert cli.main(["validate", str(file)]) == 2
        said = capsys.readouterr().err
        assert list(readers.log(said, action=False)) == []
        assert all(str(tmp_path) in line for line in said.splitlines())


def test_a_locale_without_our_signs_has_its_verdict_all_the_same():
    """
    What an output's encoding cannot hold is spelled out.
    """
    done = sse_check("probe", "http://127.0.0.1:1/", "--streams", "1", "--duration", "1s", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 1
    assert "\\u2718 not-viable" in done.stdout


@pytest.mark.parametrize(
    "given", [["http://127.0.0.1:1/\udcff"], ["http://127.0.0.1:1/", "--data", "\udcff"], ["http://127.0.0.1:1/", "-HA: \udcff"]]
)
def test_an_argument_that_is_no_text_is_the_users_to_mend(given: list[str], capsys: pytest.CaptureFixture[str]):
    """
    Bytes that are no UTF-8 can be in no report: status 2, before anything is sent.
    """
    with pytest.raises(SystemExit) as ended:
        cli.main(["probe", *given])
    assert ended.value.code == 2
    assert "holds bytes that are no UTF-8" in capsys.readouterr().err


def test_a_secret_of_any_bytes_is_redacted_and_no_defect(tmp_path: Path):
    """
    The environment's values need be no UTF-8; such a secret is sent as it is, and is in no report.
    """
    (tmp_path / "s.yml").write_text('version: 1\nprobes: [{name: a, url: "http://127.0.0.1:1/", headers: {X-Key: "${KEY}"}}]\n')
    done = sse_check("run", tmp_path / "s.yml", "--secret-env", "KEY", "--report-dir", tmp_path / "r", env={"KEY": "secret-\udcff-key"})
    assert done.returncode == 1, done.stderr
    assert not any(b"secret-" in path.read_bytes() for path in (tmp_path / "r").iterdir())


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("/caf\u00e9".encode(), "/caf\u00e9"),
        (b"/caf\xe9", "/caf%E9"),
        (b"//\xc3\xbc.example/", "//\u00fc.example/"),
        (b"/%C3%A9?a=b#c", "/%C3%A9?a=b#c"),
    ],
)
def test_where_a_redirect_leads_is_read_as_browsers_read_it(value: bytes, url: str):
    """
    UTF-8, although no URL may hold it; bytes that are none are percent-encoded as they are.
    """
    assert as_url(value.decode("latin-1")) == url


async def test_a_redirect_of_raw_utf8_is_followed_to_where_browsers_go():
    """
    What is asked there is the percent-encoded form of its bytes.
    """
    asked = []

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        asked.append(request.split(b" ")[1])
        moved = b"HTTP/1.1 307 x\r\nLocation: /caf\xc3\xa9\r\nContent-Length: 0\r\n\r\n"
        writer.write(moved if len(asked) == 1 else SSE_HEAD + chunk(b"data: 1\n\n") + chunk(b"") + b"\r\n")

    async with raw_server(serve) as base:
        run = await check(Scenario(version=1, name="x", probes=(Probe(name="a", url=f"{base}/"),), follow_up=False))
    assert asked == [b"/", b"/caf%C3%A9"]
    assert run.recording.streams[0].redirects[0].location == f"{base}/café"
