"""Text from strangers, made harmless at every exit: terminals, workflow logs, Markdown, workflow commands.

A probed server writes header values, event types, redirect targets and error texts; a scenario may come from a fork.
None of it may move a cursor, forge a log line, run a workflow command or become markup. Sources of the rules:

* actions/runner, src/Runner.Common/ActionCommand.cs: `::name::` at the start of a line (after white space) and
  `##[name]` anywhere in it are commands; lines also end at a bare CR.
* actions/toolkit, packages/core/src/command.ts: how a command's data and properties are escaped.
* CommonMark 0.31, section 6.1: inside a code span nothing is markup; a longer run of backticks cannot be closed by a
  shorter one.
"""

import html
import re
from collections.abc import Iterable
from typing import Final

_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CODE_SPAN: Final = re.compile(r"`[^`]*`")
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()#+!|~<>$-])")


def visible(text: str, limit: int = 300) -> str:
    """One line in which everything can be seen: controls and invisible characters are spelled out, length is bounded."""
    shown = text[:limit]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else _spelled_out(c) for c in shown)
    rest = len(text) - limit
    return f"{shown}…(+{rest:,})" if rest > 0 else shown


def _spelled_out(char: str) -> str:
    """A character that cannot be seen (Unicode's "other" and "separator" but for the blank) as an escape."""
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"
    return _NAMED.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}")


def quoted(text: str, limit: int = 200) -> str:
    """A stranger's value inside one of our sentences: between backticks, and without any of its own.

    Every exit knows this form: it reads well as plain text, and in Markdown it is a code span.
    """
    return f"`{visible(text, limit).replace('`', chr(39))}`"


def for_log(text: str) -> str:
    """Text for a terminal or a workflow's log: its lines stay lines, without escape sequence or workflow command.

    Whoever puts a stranger's value into it must make that one line first (`visible`, or `log_lines`).
    """
    return log_lines(text.split("\n"))


def log_lines(lines: Iterable[str]) -> str:
    """Lines for a terminal or a workflow's log; a line break inside of one is spelled out."""
    return "\n".join(visible(line, 4000).replace("##[", "##\\[").replace("::", ":\\:") for line in lines)


def prose(text: str) -> str:
    """One of our sentences for Markdown: its quoted values stay code spans, everything else is literal text."""
    result, at = [], 0
    for span in _CODE_SPAN.finditer(text):
        result += [literal(text[at : span.start()]), code(span[0][1:-1], 1000)]
        at = span.end()
    return "".join([*result, literal(text[at:])])


def literal(text: str) -> str:
    """Text for Markdown in which nothing is markup, a mention or a link."""
    return _inert(_MARKUP.sub(r"\\\1", visible(text, 4000).replace("&", "&amp;")))


def element(text: str) -> str:
    """Text within one of our own HTML elements in Markdown, where no backslash counts: no markup, mention or link either."""
    return _inert(html.escape(visible(text, 4000)))


def _inert(text: str) -> str:
    """What GitHub makes of text once Markdown is done, and no backslash stops: @name a mention, www. and :// a link."""
    return text.replace("@", "(at)").replace("://", ":<wbr>//").replace("www.", "www<wbr>.")


def code(text: str, limit: int = 120) -> str:
    """A stranger's value as a Markdown code span, also inside a table cell."""
    # cmark-gfm takes away exactly the backslash before a pipe, inside a code span too (GFM, section 4.10).
    shown = visible(text, limit).replace("|", "\\|") or " "
    fence = "`" * (max((len(run) for run in re.findall(r"`+", shown)), default=0) + 1)
    pad = " " if len(fence) > 1 or shown.startswith(" ") or shown.endswith(" ") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def fence(text: str) -> str:
    """A stranger's lines as a fenced code block, which none of them can close (CommonMark 0.31, section 4.5)."""
    shown = "\n".join(visible(line, 500) for line in text.splitlines())
    marks = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", shown)), default=0))
    return f"{marks}text\n{shown}\n{marks}"


def command_data(text: str) -> str:
    """The message of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def command_property(text: str) -> str:
    """A property of a workflow command, such as its title."""
    return command_data(text).replace(":", "%3A").replace(",", "%2C")
