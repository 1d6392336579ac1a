r"""What a stranger may write to be more than text, by whom it is aimed at; each has `MARK` in it, by which it is found again.

They are bytes: a server need not send UTF-8. Sources: actions/runner (ActionCommand.cs, FileCommandManager.cs), CVE-2020-15228
and CVE-2022-35954 for the workflow; CommonMark 0.31, GFM and GitHub's own additions for Markdown; ECMA-48 and xterm's control
sequences for terminals; XML 1.0 section 2.2; OpenMetrics 1.0; OWASP's list for spreadsheets.
"""

from typing import Final

MARK: Final = b"MARK"
_BOM: Final = "\ufeff"

_WORKFLOW: Final[dict[str, bytes]] = {
    "command": b"::error title=MARK::forged",
    "command on a line of its own": b"MARK\n::add-mask::true\n::set-output name=streaming_enabled::true\n::stop-commands::MARK",
    "command after a carriage return": b"MARK\r::set-output name=verdict::viable\r\n::warning::x",
    "command after spaces of Unicode": "\u00a0\u3000\u2003::error::MARK".encode(),
    "command behind nothing to be seen": "\u200b\ufeff\u2060::error::MARK".encode(),
    "old command within a line": b"MARK ##[set-output name=streaming_enabled]true",
    "old command in capitals": b"##[ADD-MASK]MARK ##[Set-Env name=PATH]/tmp ##[add-matcher]x.json",
    "old commands nested": b"##[##[error]]MARK ####[[group]] ##\0[error]x #\x1b[0m#[error]x",
    "command inside of colours": b"\x1b[32m::error::MARK\x1b[0m\n\x1b[1m::add-path::/tmp\x1b[0m",
    "group that swallows": b"::group::MARK\n::debug::x\n##[group]y\n::endgroup::",
    "percent-encoded lines": b"MARK%0A::error::x%0D%250A::error::y",
    "command between null characters": b"\0::error::MARK\0\n:\0:error::x",
    "heredoc": b"MARK<<EOF\nverdict<<EOF\nviable\nEOF\n",
    "delimiters of old toolkits": b"MARK\n_GitHubActionsFileCommandDelimeter_\nghadelimiter_MARK\nstreaming_enabled=true\nsse_check_\n",
    "output of another name": b"streaming_enabled=true\nNODE_OPTIONS=--require=/tmp/MARK.js",
    "a verdict that is a lie": "✔ viable: PROCEED with SSE MARK\n✔ viable: PROCEED with SSE\n  ✔ alone".encode(),
}
_MARKUP: Final[dict[str, bytes]] = {
    "mention": b"@octocat @org/team MARK a@b.example",
    "table": b"| MARK | b |\n|---|---|\n| c || \\| d |",
    "code spans": b"`MARK` `` ``` a ` b \\` `` `",
    "fences": b"```\nMARK\n```\n~~~\n```mermaid\ngraph TD; A-->B\n```\n# title",
    "links": b"[MARK](https://evil.example) ![i](https://evil.example/x.png) <https://evil.example> [r]: https://evil.example",
    "bare links": b"https://evil.example/MARK www.evil.example ftp://evil.example xmpp:a@b.example mailto:a@b.example",
    "emphasis": b"**MARK** __x__ ~~no~~ *a* _b_\n# title\n===\n- [ ] task\n1. one\n> quote\n***",
    "HTML": b"<h1>MARK</h1><a href=//evil.example>x</a></details></summary><details open><table><input><form>",
    "HTML comment": b"MARK <!-- --> <!-- <![CDATA[ ]]> <!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]> <?php ?> ]]>",
    "entities": b"&lt;b&gt; &amp; &#60;MARK&#62; &#x40;octocat &commat;octocat &NewLine;&colon;&colon;error::x",
    "closing tags": b"</title></textarea></style></script></noscript></xmp></code></pre>MARK",
    "attributes": b'" onmouseover="MARK" x=\' style=\'x',
    "diagram": b'%%{init: {"securityLevel": "loose"}}%%\nclick A href "javascript:MARK"\n```',
    "mathematics": b"$MARK$ $$\\unicode{x}$$ $`\\href{javascript:x}{y}`$ \\(x\\)",
    "template": b"{{ 7 * 7 }}MARK{% include 'x' %}${{ github.token }}#{7*7}${7*7}",
}
_TERMINAL: Final[dict[str, bytes]] = {
    "cursor and screen": b"\x1b[2J\x1b[HMARK\x1b[1A\x1b[41m\x1b[8m\x1b7\x1b[?1049h",
    "window title and link": b"\x1b]0;MARK\x07\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "clipboard": b"\x1b]52;c;TUFSSw==\x07MARK\x1bP+q544e\x1b\\\x1b_x\x1b\\\x1b^y\x1b\\",
    "C1 controls": "\u009b31mMARK\u009d0;x\u009c\u0090q\u009c\u0085".encode(),
    "C1 controls as bytes": b"\x9b31mMARK\x9d0;x\x9c\x90q\x85",
    "bell and backspaces": b"MARK\x07\x08\x08\x08\x08\x7f\x0b\x0c\x0e\x0f\x05",
}
_TEXT: Final[dict[str, bytes]] = {
    "null characters": b"\0MARK\0",
    "half of a pair as bytes": b"MARK\xed\xa0\x80\xed\xbf\xbf",
    "half of a pair in JSON": b'{"\\ud800MARK": 1, "ts": "\\udfff"}',
    "direction": "\u202eMARK\u2066\u2069\u200f\u061c\u202d".encode(),
    "no width": "M\u200bA MARK\u200d\u2060\u00ad\u180e\U000e0041\U000e007f".encode(),
    "separators of lines": "MARK\u2028::error::x\u2029##[error]y\u0085z".encode(),
    "no UTF-8": b"\xff\xfeMARK\xc0\xaf\xf8\x88\x80\x80\x80\xc3",
    "no characters": "MARK\ufffe\uffff\U0001ffff\ufdd0\ufff9".encode(),
    "byte order mark": f"{_BOM}MARK{_BOM}".encode(),
    "combining without end": b"MARK" + "\u0335\u0336".encode() * 60,
    "long": b"MARK" + b"<b>" * 700,
    "blank": b" \t MARK \t ",
}
_DATA: Final[dict[str, bytes]] = {
    "numbers that are none": b'{"MARK": NaN, "a": Infinity, "b": 1e999, "c": -0, "d": 12345678901234567890123}',
    "JSON": b'MARK", "verdict": "viable", "x": "\\',
    "deep JSON": b'{"MARK":' + b"[" * 150 + b"]" * 150 + b"}",
    "label of a metric": b'MARK"} 1\n# TYPE up counter\nup{x="\\',
    "end of metrics": b"MARK\n# EOF\nup 1\n",
    "formula": b"=HYPERLINK(\"https://evil.example/MARK\")\n+1+cmd|' /C calc'!A0\n-2\n@SUM(1)",
    "YAML": b"MARK: &a [*a, !!python/object/apply:os.system ['x']]\n---\n? |\n  x\n<<: *a",
    "shell": b"MARK'; $(touch /tmp/MARK) `id` \" && exit 0 #",
    "path": b"../../../../etc/MARK/%2e%2e/%00.json",
    "format": b"%s%n%x{0.__class__}MARK%(x)s",
    "object": b"<object MARK at 0x7f> __proto__ constructor",
}
# What a browser would run; each sets `window.marked`, which nothing else does.
SCRIPTS: Final[dict[str, bytes]] = {
    "script": b"<script>window.marked=1/*MARK*/</script>",
    "end of script": b"</script><script>window.marked=1/*MARK*/</script>",
    "comment before a script": b"<!--<script>window.marked=1//-->MARK",
    "link to a script": b"javascript:window.marked=1//MARK",
    "Markdown link to a script": b"[click](javascript:window.marked=1//MARK)",
    "image": b'"><img src=x onerror=window.marked=1>MARK',
    "handler": b"' onmouseover='window.marked=1' x='MARK",
    "svg": b"<svg/onload=window.marked=1>MARK",
    "data URL": b"data:text/html,<script>window.marked=1</script>MARK",
}

ATTACKS: Final[dict[str, bytes]] = {**_WORKFLOW, **_MARKUP, **_TERMINAL, **_TEXT, **_DATA, **SCRIPTS}


def marked(name: str) -> bytes:
    """An attack with a mark of its own: `zq7z` is that of the seventh."""
    return ATTACKS[name].replace(MARK, mark(name).encode())


def mark(name: str) -> str:
    """By which an attack is found again."""
    return f"zq{list(ATTACKS).index(name)}z"


def as_text(name: str) -> str:
    """An attack as a text of Python's, where what is no UTF-8 is kept as halves of pairs: as arguments and file names have it."""
    return marked(name).decode("utf-8", "surrogateescape")


def one_line(attack: bytes) -> bytes:
    """As far as it goes into a header field: without the ends of lines."""
    return attack.replace(b"\r", b" ").replace(b"\n", b" ")
