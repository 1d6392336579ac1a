"""Text from strangers, made harmless at every exit: terminals, workflow logs, workflow commands, Markdown, JSON.

A probed server writes header values, event types, redirect targets and error texts; a scenario may come from a fork.
None of it may move a cursor, forge a log line, run a workflow command or become markup.

What has been made harmless is of a type of its own, and nothing else is let out: `put`, by which all text reaches a
terminal or a log, takes `Safe` only; a template of Markdown escapes whatever is not `Markdown`. Sources of the rules:

* actions/runner, src/Runner.Common/ActionCommand.cs: `::name::` at the start of a line (after white space) and
  `##[name]` anywhere in it are commands; lines also end at a bare CR.
* actions/toolkit, packages/core/src/command.ts: how a command's data and properties are escaped.
* CommonMark 0.31, section 6.1: inside a code span nothing is markup; a longer run of backticks cannot be closed by a
  shorter one.
"""

import html
import re
from collections.abc import Iterable
from typing import Final, NewType, TextIO

# Lines that neither a terminal nor a workflow's log takes for anything but text, or for one of our own workflow commands.
Safe = NewType("Safe", str)

_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CODE_SPAN: Final = re.compile(r"`[^`]*`")
# A hyphen in a word is no markup, and codes of faults have them.
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()#+!|~$]|(?<![0-9A-Za-z])-)")
_LINE: Final = 4000  # characters; the runner cuts a message at 4,096


class Markdown(str):
    """Text that is Markdown already: what a template may write as it is."""

    __slots__ = ()


def put(text: Safe, out: TextIO) -> None:
    """Write text and a line end, at once and in one piece: two threads do. The only way to a terminal or a log."""
    out.write(f"{text}\n")
    out.flush()


def visible(text: str, limit: int = 300) -> str:
    """One line in which everything can be seen: controls and invisible characters are spelled out, length is bounded."""
    shown = text[:limit]
    if not shown.isprintable():
        shown = shown.translate({ord(char): _spelled_out(char) for char in set(shown) if not char.isprintable()})
    rest = len(text) - limit
    return f"{shown}…(+{rest:,})" if rest > 0 else shown


def _spelled_out(char: str) -> str:
    """A character that cannot be seen (Unicode's "other" and "separator" but for the blank) as an escape."""
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"
    return _NAMED.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}")


def is_text(text: str) -> bool:
    """Whether UTF-8 can hold it: arguments and variables of the environment may be of any bytes, which Python keeps as halves of pairs."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def quoted(text: str, limit: int = 200) -> str:
    """A stranger's value inside one of our sentences: between backticks, and without any of its own.

    Every exit knows this form: it reads well as plain text, and in Markdown it is a code span.
    """
    return f"`{visible(text, limit).replace('`', chr(39))}`"


def for_log(text: str) -> Safe:
    """Text for a terminal or a workflow's log: its lines stay lines, without escape sequence or workflow command.

    Whoever puts a stranger's value into it must make that one line first (`visible`, or `log_lines`).
    """
    return log_lines(text.split("\n"))


def log_lines(lines: Iterable[str]) -> Safe:
    """Lines for a terminal or a workflow's log; a line break inside of one is spelled out."""
    return Safe("\n".join(_unbracketed(visible(line, _LINE)).replace("::", ":\\:") for line in lines))


def _unbracketed(text: str) -> str:
    """Text without `##[`, which begins a command anywhere in a line, and which the log's viewer styles even where it is none."""
    return text.replace("##[", "##\\[")


def prose(text: str) -> Markdown:
    """One of our sentences for Markdown: its quoted values stay code spans, everything else is literal text."""
    result, at = [], 0
    for span in _CODE_SPAN.finditer(text):
        result += [literal(text[at : span.start()]), code(span[0][1:-1], 1000)]
        at = span.end()
    return Markdown("".join([*result, literal(text[at:])]))


def literal(text: str) -> Markdown:
    """Text for Markdown in which nothing is markup, a mention or a link; nor an element where it stands within one (see `element`)."""
    return _inert(_MARKUP.sub(r"\\\1", html.escape(visible(text, _LINE), quote=False)))


def element(text: str) -> Markdown:
    """Text within one of our own HTML elements in Markdown, where no backslash counts: no markup, mention or link either."""
    return _inert(html.escape(visible(text, _LINE)))


def _inert(text: str) -> Markdown:
    """What GitHub makes of text once Markdown is done, and no backslash stops: @name a mention, www. and :// a link."""
    return Markdown(text.replace("@", "(at)").replace("://", ":<wbr>//").replace("www.", "www<wbr>."))


def code(text: str, limit: int = 120) -> Markdown:
    """A stranger's value as a Markdown code span, also inside a table cell."""
    # cmark-gfm takes away exactly the backslash before a pipe, inside a code span too (GFM, section 4.10).
    shown = visible(text, limit).replace("|", "\\|") or " "
    fence = "`" * (max((len(run) for run in re.findall(r"`+", shown)), default=0) + 1)
    pad = " " if len(fence) > 1 or shown.startswith(" ") or shown.endswith(" ") else ""
    return Markdown(f"{fence}{pad}{shown}{pad}{fence}")


def fence(text: str) -> Markdown:
    """A stranger's lines as a fenced code block, which none of them can close (CommonMark 0.31, section 4.5)."""
    shown = "\n".join(visible(line, 500) for line in text.splitlines())
    marks = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", shown)), default=0))
    return Markdown(f"{marks}text\n{shown}\n{marks}")


def json_text(encoded: bytes) -> bytes:
    """The same JSON in which every character can be seen, and which a log can show: what is not seen is escaped.

    In JSON a control character up to U+001F is escaped anyway, DEL, C1 controls and what steers the direction are not.
    """
    if encoded.isascii() and b"\x7f" not in encoded and b"##[" not in encoded:
        return encoded
    text = encoded.decode()
    unseen = {ord(char): _as_json(char) for char in set(text) if not char.isprintable() and char != "\n"}
    return text.translate(unseen).replace("##[", "##\\u005b").encode()


def _as_json(char: str) -> str:
    """A character as JSON's escapes: of its one or two UTF-16 code units (RFC 8259, section 7)."""
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def json_lines(encoded: bytes) -> Safe:
    """JSON for a terminal or a log. Its lines begin with a bracket, a quote or a number, so that none is a command."""
    return Safe(json_text(encoded).decode().removesuffix("\n"))


def command(name: str, message: str = "", **properties: str | int | None) -> Safe:
    """A workflow command, one of ours: `::name key=value::message`. Properties are those of the command: title, file, line, col.

    The runner writes the message into its log again, where it is no command any more, but is shown: so it is one line of
    visible text as any other.
    """
    shown = {key: _unbracketed(visible(str(value), _LINE)) for key, value in properties.items() if value is not None}
    given = ",".join(f"{key}={command_property(value)}" for key, value in shown.items())
    return Safe(f"::{name}{' ' + given if given else ''}::{command_data(_unbracketed(visible(message, _LINE)))}")


def mask_command(secret: str) -> Safe:
    """The command that hides one line of a secret, exactly as it is."""
    return Safe(f"::add-mask::{command_data(secret)}")


def command_data(text: str) -> str:
    """The message of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def command_property(text: str) -> str:
    """A property of a workflow command, such as its title."""
    return command_data(text).replace(":", "%3A").replace(",", "%2C")
