"""Each way out of sse-check, read as whoever is there reads it; what is more than text, or less than whole, is a complaint.

A file of the report directory without a reader here fails the tests: whoever adds one says how it is read.
"""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from jsonschema import Draft202012Validator
from markdown_it import MarkdownIt
from markdown_it.token import Token
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus

from tests.support.process import ROOT
from tests.support.runner import read_outputs
from tests.support.unseen import commands_in, unseen_in

TEMPLATES: Final = ROOT / "sse_check/report/templates"
COMPLAINTS: Final = 20  # of one reader: more say nothing new


# --- logs and terminals -----------------------------------------------------------------------------------------------

# What the action itself says to the runner, and which properties these commands have.
_COMMAND: Final = re.compile(
    r"::(?:(?:error|warning|notice) title=sse-check[^,:]*(?:,file=[^,:]*,line=[0-9]+,col=[0-9]+)?::.+"
    r"|(?:error|warning|notice)::.+|debug::.*|group::.+|endgroup::|add-mask::.+)"
)
# rich's: colours and styles, a table drawn again in its place, the cursor hidden meanwhile.
_OF_A_LIVE_TABLE: Final = re.compile(r"\x1b\[(?:(?:0|1|2|22|3[0-7])(?:;(?:1|2|3[0-7]))*m|[0-9]*A|2K|\?25[lh])|\r(?=\x1b|\n|$)")
_VERDICT: Final = re.compile(r"[✔✘?] (viable|not-viable|inconclusive): ")


def log(text: str, *, action: bool) -> Iterator[str]:
    """A workflow's log, and the output of the command line in one: no command but the action's own, nothing unseen, one verdict."""
    plain = []
    for line in text.split("\n"):
        if action and _COMMAND.fullmatch(line):
            line = line.removeprefix("::").replace("::", " ", 1)  # what the runner shows of it
            line = line if line.startswith("add-mask ") else re.sub(r"%(0A|0D|25|3A|2C)", lambda m: bytes.fromhex(m[1]).decode(), line)
        plain.append(line)
        if "##[" in line:
            yield f"the log's viewer would style: {line[:200]!r}"
    yield from (f"a command: {name}" for name in commands_in("\n".join(plain)))
    yield from (f"unseen: {char}" for char in unseen_in("".join(plain)))
    verdicts = sum(_VERDICT.match(line) is not None for line in plain)
    if verdicts > 1:
        yield f"{verdicts} verdicts"


def json_output(text: str) -> Iterator[str]:
    """What `--format json` prints: a log of commands for nobody, and JSON."""
    yield from log(text, action=False)
    yield from report_json(text.encode())


def terminal(text: str) -> Iterator[str]:
    """What a terminal was sent: the control sequences of the table, and no other."""
    yield from log(_OF_A_LIVE_TABLE.sub("", text.replace("\r\n", "\n")), action=False)


# --- what the runner reads --------------------------------------------------------------------------------------------

_OUTPUTS: Final = {
    "streaming_enabled": r"true|false",
    "verdict": r"viable|not-viable|inconclusive",
    "recommendation": r"PROCEED with SSE|PUNT to WebSocket|PUNT to batch API|BLOCKED: no fallback works|MEASURE AGAIN",
    "success_rate": r"[0-9.]*",
    "codes": r"[a-z,-]*",
    "first_event_time": r"[0-9.e-]*",
    "concurrent_success": r"(?:[0-9]+/[0-9]+)?",
    "idle_timeout": r"[0-9.]*",
    "max_duration": r"[0-9.]*",
    "fallback": r"websocket|batch|none",
    "report": r"(?:sse-check-report/report\.json)?",
    "report-dir": r"sse-check-report",
}


def outputs(text: str) -> Iterator[str]:
    """GITHUB_OUTPUT: the outputs that the action declares, each a word, a number or the path that the workflow gave."""
    try:
        found = read_outputs(text)
    except AssertionError as error:
        yield str(error)
        return
    if set(found) != set(_OUTPUTS):
        yield f"outputs {sorted(found)}"
    for name, value in found.items():
        if not re.fullmatch(_OUTPUTS.get(name, ""), value):
            yield f"output {name}: {value[:100]!r}"


# --- Markdown ---------------------------------------------------------------------------------------------------------

_HTML: Final = re.compile(r"(?:</?details>|<details open>|<summary>|</summary>|<wbr>)")
_LINK: Final = re.compile(r"https://[^\s()<>\\]+")
_FENCES: Final = {"mermaid", "text"}
_MERMAID: Final = re.compile(
    r'%%\{init: \{"themeVariables": \{"xyChart": \{"plotColorPalette": "#[0-9a-f, #]+"\}\}\}\}%%\nxychart-beta\n'
    r'  x-axis "(?:milli)?seconds since the request" 0 --> [0-9]+\n  y-axis 0 --> [0-9]+\n(?:  (?:bar|line) \[[0-9, ]+\]\n)+'
)
# What GitHub makes a mention or a link once Markdown is done (GFM, section 6.9, and html-pipeline's mention filter).
_AFTERWARDS: Final = re.compile(r"(?<![0-9A-Za-z_`])@[0-9A-Za-z]|www\.|[a-z]+://|[0-9A-Za-z._+-]+@[0-9A-Za-z-]+\.|(?:mailto|xmpp):\S+@")


def markdown(text: str) -> Iterator[str]:
    """summary.md and the step summary as GitHub reads them: our own elements, links to sources only, and nobody is mentioned."""
    yield from (f"unseen: {char}" for char in unseen_in(text.replace("\n", "")))
    if not re.match(r"### [✅❌❔] ", text):
        yield f"begins with {text[:40]!r}"
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for token in parser.parse(text):
        yield from _token(token)
    opened, closed = text.count("<details"), text.count("</details>")
    if opened != closed:
        yield f"{opened} elements opened, {closed} closed"


def _token(token: Token) -> Iterator[str]:
    match token.type:
        case "html_block" | "html_inline":
            # One of our own elements has a stranger's text in it, which `element` has written.
            if left := re.sub(r"&(?:amp|lt|gt|quot|#x27);", "\0", _HTML.sub("\0", token.content)).strip():
                if "<" in left or "&" in left:
                    yield f"HTML: {token.content[:200]!r}"
                yield from _afterwards(left)
        case "fence":
            if token.info not in _FENCES or (token.info == "mermaid" and not _MERMAID.fullmatch(token.content)):
                yield f"a fence of {token.info!r}: {token.content[:100]!r}"
        case "code_block" | "image" | "s_open" | "em_open" | "hr" | "ordered_list_open":
            yield f"{token.type}: {token.content[:100]!r}"
        case "heading_open" if token.tag not in ("h3", "h4"):
            yield f"a heading of {token.tag}"
        case "link_open":
            target = str(token.attrs["href"])
            if not _LINK.fullmatch(target) or "evil" in target:
                yield f"a link to {target!r}"
        case "text":
            yield from _afterwards(token.content)
    in_link = 0
    for child in token.children or ():
        in_link += {"link_open": 1, "link_close": -1}.get(child.type, 0)
        if not (in_link and child.type == "text"):
            yield from _token(child)


def _afterwards(text: str) -> Iterator[str]:
    if match := _AFTERWARDS.search(text):
        yield f"a mention or a link: {text[max(0, match.start() - 20) :][:80]!r}"


# --- HTML -------------------------------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """The elements of a page with their attributes, the links, and what is in its scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: set[tuple[str, str | None]] = set()
        self.links: list[str] = []
        self.raw: list[tuple[str, str]] = []  # the kind of script, or `style`, and its text
        self.others: list[str] = []
        self._inside: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements |= {(tag, None), *((tag, name) for name, _ in attrs)}
        given = dict(attrs)
        if tag == "a":
            self.links.append(given.get("href") or "")
        if tag in ("script", "style"):
            self._inside = given.get("type") or tag
            self.raw.append((self._inside, ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is not None:
            kind, text = self.raw[-1]
            self.raw[-1] = (kind, text + data)

    def handle_comment(self, data: str) -> None:
        self.others.append(f"<!--{data}")

    def unknown_decl(self, data: str) -> None:
        self.others.append(f"<![{data}")

    def handle_pi(self, data: str) -> None:
        self.others.append(f"<?{data}")


def _page(text: str) -> _Page:
    page = _Page()
    page.feed(text)
    page.close()
    return page


def _of_templates() -> set[tuple[str, str | None]]:
    """The elements and attributes that the templates write themselves."""
    found: set[tuple[str, str | None]] = set()
    for path in TEMPLATES.glob("*.html.j2"):
        found |= _page(re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)).elements
    return found | {("code", None), ("strong", None)}  # `prose` writes these


def html(text: str) -> Iterator[str]:
    """report.html: elements and attributes of the templates only, the scripts that its policy names, links to sources, data that are data."""
    page = _page(text)
    yield from (f"an element or attribute of nobody's: {one}" for one in sorted(map(str, page.elements - _of_templates())))
    yield from (f"no text: {other[:100]!r}" for other in page.others)
    yield from (f"a link to {link!r}" for link in page.links if not re.fullmatch(r"#[a-z]+|https://[^\s\"'<>]+", link) or "evil" in link)
    if [kind for kind, _ in page.raw] != ["style", "application/json", *["script"] * 4]:
        yield f"scripts and styles: {[kind for kind, _ in page.raw]}"
        return
    data = page.raw[1][1]
    yield from _json(data)
    if "<" in data:
        yield "the data hold a <"
    shown = re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    yield from (f"unseen: {char}" for char in unseen_in(shown.replace("\n", "")))


# --- XML and metrics --------------------------------------------------------------------------------------------------

_XML_CHARS: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2
_JUNIT: Final[dict[str, set[str]]] = {
    "testsuites": set(),
    "testsuite": {"name", "package", "id", "hostname", "timestamp", "tests", "failures", "errors", "skipped", "time"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"name", "classname", "time"},
    "skipped": set(),
    "failure": {"message", "type"},
    "system-out": set(),
    "system-err": set(),
}


def junit(text: str) -> Iterator[str]:
    """junit.xml: XML 1.0 of our elements, without declaration, comment or instruction, and no text that is not seen."""
    yield from (f"no character of XML: U+{ord(char):04X}" for char in _XML_CHARS.findall(text))
    body = text.removeprefix('<?xml version="1.0" encoding="utf-8"?>\n')
    yield from (f"more than elements: {sign}" for sign in ("<!", "<?") if sign in body)
    try:
        root = ET.fromstring(text.encode())
    except ET.ParseError as error:
        yield f"not XML: {error}"
        return
    for element in root.iter():
        if element.tag not in _JUNIT or not set(element.attrib) <= _JUNIT[element.tag]:
            yield f"an element of nobody's: {element.tag} {sorted(element.attrib)}"
        for value in (element.text or "", *element.attrib.values()):
            yield from (f"unseen: {char}" for char in unseen_in(value.replace("\n", "")))


def metrics(text: str) -> Iterator[str]:
    """metrics.prom: OpenMetrics, and the older format that the textfile collector reads; our names and labels, no series twice."""
    yield from (f"unseen: {char}" for char in unseen_in(text.replace("\n", "")))
    for read in (read_openmetrics, read_prometheus):
        try:
            samples = [sample for family in read(text) for sample in family.samples]
        except ValueError as error:
            yield f"no metrics: {error}"
            continue
        series = [(sample.name, *sorted(sample.labels.items())) for sample in samples]
        if len(set(series)) != len(series):
            yield "a series twice"
        yield from (f"a metric of nobody's: {sample.name}" for sample in samples if not sample.name.startswith("sse_check_"))


# --- JSON -------------------------------------------------------------------------------------------------------------

_REPORT: Final = Draft202012Validator(json.loads((ROOT / "docs/report.schema.json").read_text(encoding="utf-8")))


def _json(text: str) -> Iterator[str]:
    """Strict JSON whose every text is one that UTF-8 can hold."""

    def refused(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        json.dumps(json.loads(text, parse_constant=refused), ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        yield f"no JSON: {error}"


def _shown_json(raw: bytes) -> Iterator[str]:
    """JSON as it may also be shown: by `cat` in a step, or in a terminal."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        yield f"no UTF-8: {error}"
        return
    yield from _json(text)
    yield from log(text, action=False)


def report_json(raw: bytes) -> Iterator[str]:
    """report.json: as its schema says."""
    yield from _shown_json(raw)
    yield from (f"against the schema: {error.message[:200]}" for error in _REPORT.iter_errors(json.loads(raw)))


def recording(raw: bytes) -> Iterator[str]:
    """recording.ndjson: a value a line."""
    for line in raw.removesuffix(b"\n").split(b"\n"):
        yield from _shown_json(line)


def otlp(raw: bytes) -> Iterator[str]:
    """What an OTLP receiver is sent: names of ours, attributes that are texts."""
    yield from _json(raw.decode())
    for resource in json.loads(raw)["resourceMetrics"]:
        for metric in (metric for scope in resource["scopeMetrics"] for metric in scope["metrics"]):
            if not metric["name"].startswith("sse_check_"):
                yield f"a metric of nobody's: {metric['name']}"
            for point in metric["gauge"]["dataPoints"]:
                for attribute in point["attributes"]:
                    yield from (f"unseen: {char}" for char in unseen_in(attribute["value"]["stringValue"]))


# How each file of the report directory is read.
FILES: Final[Mapping[str, Callable[[bytes], Iterator[str]]]] = {
    "report.json": report_json,
    "recording.ndjson": recording,
    "summary.md": lambda raw: markdown(raw.decode()),
    "report.html": lambda raw: html(raw.decode()),
    "junit.xml": lambda raw: junit(raw.decode()),
    "metrics.prom": lambda raw: metrics(raw.decode()),
}


def report_dir(directory: Path) -> dict[str, list[str]]:
    """The complaints of each file of a report directory. Raises AssertionError where a file is missing, or nobody knows how it is read."""
    there = {path.name for path in directory.iterdir()}
    assert there == set(FILES), f"{sorted(there ^ set(FILES))}: say in tests/hostile/readers.py how it is read, or why it is missing"
    return {name: first(read((directory / name).read_bytes())) for name, read in FILES.items()}


def first(complaints: Iterator[str]) -> list[str]:
    """The first of them."""
    return [complaint for complaint, _ in zip(complaints, range(COMPLAINTS), strict=False)]
