"""Text from strangers at every exit: no command, no markup, nothing unseen."""

import json
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_check.escape import code, command_data, command_property, for_log, json_text, prose, quoted, visible
from tests.support.unseen import commands_in, unseen_in


def runner_unescape(text: str, pairs: dict[str, str]) -> str:
    for escaped, plain in pairs.items():
        text = text.replace(escaped, plain)
    return text


COMMANDS = [
    "::error::x",
    "::add-mask::x",
    "::set-output name=verdict::viable",
    "  \t::warning file=a,line=1::x",
    "\u00a0::error::x",
    "\u3000::error::x",
    "::stop-commands::t\n::error::x",
    "text\n::error::x",
    "text\r::error::x",
    "text\r\n::error::x",
    "text ##[error]x",
    "##[ERROR]x",
    "##[add-path]/tmp",
    "##[set-env name=PATH;]/tmp",
]
TRICKS = [
    ":::error:::x",
    "::::error::::x",
    ":\u200b:error::x",
    "\u200b::error::x",
    "\ufeff::error::x",
    "\u2028::error::x",
    "a\u2028##[error]x",
    "##\u200b[error]x",
    "####[[error]]x",
    "###[error]x",
    "#\0#[error]x",
    ":\0:error::x",
    ":\r:error::x",
    "\x1b[2K::error::x",
    "\x1b]0;title\x07::error::x",
    "\x85::error::x",
    "x" * 3999 + "::error::x",
    "x" * 3998 + "##[error]x",
]
HOSTILE = [*COMMANDS, *TRICKS]
HOSTILE_TEXT = st.lists(
    st.sampled_from(
        [
            "::",
            ":",
            "##[",
            "#",
            "[",
            "]",
            "\n",
            "\r",
            " ",
            "\t",
            "\0",
            "\x1b[",
            "error",
            "add-mask",
            "\u200b",
            "\u202e",
            "\u2028",
            "\ufeff",
            "`",
            "``",
            "```",
            "\\",
            "|",
            "<",
            ">",
            "<script>",
            "<!--",
            "-->",
            "&",
            "&lt;",
            "@",
            "@octocat",
            "*",
            "_",
            "~~",
            "[x](https://e.test)",
            "![x](y)",
            "www.e.test",
            "https://e.test",
            "$",
            "\ud800",
            "\U0001f600",
            "é",
            "%0A",
            "%25",
            "x" * 50,
        ]
    )
    | st.text(max_size=3),
    max_size=15,
).map("".join)


@pytest.mark.parametrize("text", COMMANDS)
def test_the_port_sees_commands(text: str) -> None:
    """Each of these is a command to the runner, so that seeing none afterwards means something."""
    assert commands_in(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_in_a_log_is_a_command(text: str) -> None:
    """Whatever a server writes, the runner sees no command in what sse-check logs of it."""
    assert commands_in(for_log(text)) == []
    assert commands_in(for_log(f"sse-check: the server said {quoted(text)}")) == []


@settings(max_examples=400)
@given(HOSTILE_TEXT)
def test_no_invented_text_in_a_log_is_a_command(text: str) -> None:
    """No mixture of colons, brackets and line ends becomes a command or a control character."""
    logged = for_log(text)

    assert commands_in(logged) == []
    assert unseen_in(logged.replace("\n", "")) == []
    assert logged.count("\n") == text.count("\n")


def test_our_own_lines_stay_lines() -> None:
    """A text of several lines is logged as such; a stranger's value is made one line before it comes there."""
    assert for_log("one\ntwo\n") == "one\ntwo\n"
    assert for_log(quoted("one\ntwo")) == "`one\\ntwo`"


def test_ordinary_text_is_logged_as_it_is() -> None:
    """Accents, emoji, other scripts, single colons, addresses and signs stay."""
    text = "Größe: 10:30 [x] #1 `/a?b=c` – 東京 😀 https://[fe80:0:1]/ 100 %"

    assert for_log(text) == text


# --- nothing unseen -------------------------------------------------------------------------------------------------


def test_every_unseen_character_is_spelled_out() -> None:
    """Of all characters there are, none that is not seen or turns the direction of others comes through."""
    through = [name for at in range(sys.maxunicode + 1) if (name := "".join(unseen_in(chr(at)))) and unseen_in(visible(chr(at)))]

    assert through == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\0\x1b[31m\x7f\x9b", "\\x00\\x1b[31m\\x7f\\x9b"),
        ("a\u202eb\u200bc\ufeff", "a\\u202eb\\u200bc\\ufeff"),
        ("\U000e0041", "\\ue0041"),
        ("\ud800", "\ufffd"),
        ("plain, é, 😀", "plain, é, 😀"),
    ],
)
def test_what_is_not_seen_is_spelled_out(text: str, shown: str) -> None:
    """Controls and invisible characters can be read as what they are."""
    assert visible(text) == shown


def test_a_long_text_is_cut_and_says_so() -> None:
    """What is shown is bounded, with the number of characters that were left out."""
    assert visible("x" * 1500, 300) == "x" * 300 + "…(+1,200)"
    assert visible("x" * 300, 300) == "x" * 300
    assert len(for_log("\0" * 1_000_000)) < 20_000


# --- Markdown -------------------------------------------------------------------------------------------------------


def outside_of_code(markdown: str) -> tuple[str, list[str]]:
    """Text and code spans as CommonMark 6.1 has them: a run of backticks closes at the next run of the same length."""
    text, spans, at = "", [], 0
    while at < len(markdown):
        if markdown[at] == "\\" and at + 1 < len(markdown):
            text += markdown[at : at + 2]
            at += 2
        elif markdown[at] == "`":
            run = re.compile("`+").match(markdown, at)
            assert run
            closing = re.search(rf"(?<!`){run[0]}(?!`)", markdown[run.end() :])
            if closing:
                spans.append(markdown[run.end() : run.end() + closing.start()])
                at = run.end() + closing.end()
            else:
                text += run[0]
                at = run.end()
        else:
            text += markdown[at]
            at += 1
    return text, spans


def content(span: str) -> str:
    """What a code span shows: one blank on each side belongs to the fence."""
    return span[1:-1] if span.startswith(" ") and span.endswith(" ") and span.strip(" ") else span


def table_cells(row: str) -> int:
    """How many cells a row of a GFM table has: a pipe ends one unless a backslash stands before it, in code too."""
    return len(re.findall(r"(?<!\\)\|", row)) - 1


MARKUP = [
    "<script>alert(1)</script>",
    "<!-- hidden",
    "`code`",
    "``",
    "```\nblock\n```",
    "a ` b",
    "`",
    " ",
    "",
    "\\",
    "\\`",
    "a|b||c",
    "\\|",
    "| a | b |\n|---|---|",
    "[link](https://evil.test)",
    "![image](https://evil.test/x.png)",
    "@octocat and @org/team",
    "https://evil.test www.evil.test",
    "**bold** _it_ ~~no~~ # title",
    "&lt;b&gt; &amp;",
    "- [ ] task\n1. one\n> quote",
    *HOSTILE,
]


@pytest.mark.parametrize("value", MARKUP)
def test_a_strangers_value_stays_a_code_span_in_prose(value: str) -> None:
    """A quoted value in one of our sentences is one code span, and the sentence around it is untouched by it."""
    text, spans = outside_of_code(prose(f"The server said {quoted(value)} at last"))

    assert text == "The server said  at last"
    assert len(spans) == 1
    assert content(spans[0]).replace("\\|", "|").strip() == quoted(value)[1:-1].strip()


@settings(max_examples=400)
@given(HOSTILE_TEXT, HOSTILE_TEXT)
def test_no_invented_value_breaks_out_of_its_code_span(first: str, second: str) -> None:
    """Two values in a sentence stay two code spans whatever they are."""
    text, spans = outside_of_code(prose(f"Between {quoted(first)} and {quoted(second)} it broke"))

    assert (text, len(spans)) == ("Between  and  it broke", 2)


@settings(max_examples=400)
@given(HOSTILE_TEXT)
def test_a_value_as_code_is_one_code_span(value: str) -> None:
    """code() chooses a fence that the value cannot close, and shows the value with all its backticks."""
    text, spans = outside_of_code(code(value))

    assert (text, len(spans)) == ("", 1)
    assert content(spans[0]).replace("\\|", "|").strip(" ") == visible(value, 120).strip(" ")


@pytest.mark.parametrize("value", MARKUP)
def test_no_value_adds_a_cell_to_a_table(value: str) -> None:
    """In a row of three cells there are three, whatever stands in them."""
    row = f"| {code(value)} | {prose(value)} | {prose(quoted(value))} |"

    assert table_cells(row) == 3
    assert "\n" not in row
    assert "\r" not in row


@pytest.mark.parametrize("text", MARKUP)
def test_prose_outside_of_code_is_literal(text: str) -> None:
    """Even text that was not quoted becomes no HTML, no markup, no link and no mention."""
    outside, _ = outside_of_code(prose(text))

    assert not re.search(r"(?<!\\)[<>\[\]*_~#|!](?!wbr>)", re.sub(r"<wbr>", "", outside).replace("\\\\", ""))
    assert "@" not in outside
    assert "://" not in outside
    assert "www." not in outside
    assert not re.search(r"&(?!(amp|lt|gt);)", outside)


@settings(max_examples=400)
@given(HOSTILE_TEXT)
def test_no_invented_prose_is_html_or_a_mention(text: str) -> None:
    """No mixture outside of code spans leaves a tag, a comment, an entity or a mention."""
    outside = outside_of_code(prose(text))[0].replace("<wbr>", "").replace("\\\\", "")

    assert not re.search(r"(?<!\\)<", outside)
    assert "@" not in outside
    assert not re.search(r"&(?!(amp|lt|gt);)", outside)


def test_our_sentences_read_as_they_were_written() -> None:
    """Plain sentences need no escaping to be read."""
    assert prose("It took 25s, 3 of 20 events; 90% were late.") == "It took 25s, 3 of 20 events; 90% were late."
    assert code("text/plain") == "`text/plain`"


# --- workflow commands ----------------------------------------------------------------------------------------------


@given(HOSTILE_TEXT)
def test_the_message_of_a_command_arrives_as_it_was(text: str) -> None:
    """What is escaped for a command is one line, and the runner reads the same text back."""
    escaped = command_data(text)

    assert not re.search(r"[\n\r]", escaped)
    assert runner_unescape(escaped, {"%0D": "\r", "%0A": "\n", "%25": "%"}) == text


@given(HOSTILE_TEXT)
def test_a_property_of_a_command_arrives_as_it_was(text: str) -> None:
    """A property ends neither itself nor the command's head, and the runner reads the same text back."""
    escaped = command_property(text)

    assert not re.search(r"[\n\r:,]", escaped)
    assert runner_unescape(escaped, {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}) == text


# --- JSON -------------------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(HOSTILE_TEXT | st.text())
def test_json_means_the_same_and_shows_all_of_it(text: str) -> None:
    """A value reads back as it was, and its JSON has no character that is not seen, and no command."""
    text = text.encode("utf-16", "ignore").decode("utf-16")
    shown = json_text(json.dumps({"a": text}, ensure_ascii=False).encode()).decode()

    assert json.loads(shown) == {"a": text}
    assert unseen_in(shown) == []
    assert commands_in(shown) == []
