"""The scenario's reader: what it takes, what it refuses and how it says so; and that its JSON Schema agrees."""

import json
import time
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_check.scenario import Criteria, Mistake, Scenario, ScenarioError, Until, Variables, load, schema, stream_timeout, variables_in

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.yml"))
LEAST = "version: 1\nprobes:\n  - name: a\n    url: https://a.test/\n"  # four lines: what a case adds begins in line 5

WHOLE = """\
version: 1
name: Wallet analysis, production
target:
  url: https://app.example.test
  headers: {X-API-Key: abc, X-Empty: ""}
  health: /health
  tls: {verify: true, ca: ca.pem}
criteria:
  success_rate: 90%
  event_deadline: 25s
  first_event: 2s
  deadline_from: previous
probes:
  - name: small wallet
    path: /v4/wallet/8kGf/stream
    until: {event: complete}
    expect: {events: 20, every: 1s, heartbeat: 15s}
    timestamps: {field: meta.ts, unit: us}
    timeout: 2m
  - name: three at once
    url: https://other.example.test/stream?q=1
    method: POST
    headers: {Accept-Language: de}
    body: {query: x, deep: [1, 2.5, true, null, {a: b}]}
    until: {events: 20, data: "[DONE]", duration: 30s}
    streams: 3
  - name: text body
    path: /s
    body: "a=b"
    concurrent: true
fallbacks:
  - websocket: {url: "wss://example.test/ws", send: ping}
  - batch: {url: "https://example.test/batch", method: POST, body: {a: 1}}
  - websocket: {path: /ws}
  - batch: {path: /result}
budget: 10m
"""

ALIASES = """\
version: 1
target: {url: https://a.test, headers: &auth {X-API-Key: abc}}
probes:
  - &first {name: a, path: /a, headers: *auth, until: &end {events: 5}}
  - {name: b, path: /b, headers: *auth, until: *end}
"""

VALID: dict[str, str] = {
    "the least": LEAST,
    "everything": WHOLE,
    "aliases": ALIASES,
    "percentages as numbers": LEAST + "criteria: {success_rate: 99.5}\n",
    "short durations": LEAST + "criteria: {first_event: 250ms, event_deadline: 1.5m}\nbudget: 1h\n",
}


def read(text: str | bytes, **variables: str) -> Scenario:
    raw = text if isinstance(text, bytes) else text.encode()
    return load(raw, file="s.yml", variables=Variables(values=variables))


def mistakes_of(text: str | bytes, variables: Variables | None = None) -> tuple[Mistake, ...]:
    raw = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ScenarioError) as caught:
        load(raw, file="s.yml", variables=variables)
    return caught.value.mistakes


# --- mistakes -------------------------------------------------------------------------------------------------------

Where = tuple[int, int, str, str, str]  # line, column, path, what is wrong, what would be right

MALFORMED: dict[str, tuple[str | bytes, list[Where]]] = {
    "a duration in words": (
        LEAST + "criteria: {first_event: 2 secs}\n",
        [(5, 25, "criteria.first_event", '"2 secs" is not a duration.', "Write 2s or 2ms.")],
    ),
    "a duration without a unit": (LEAST + "budget: 25\n", [(5, 9, "budget", '"25" is not a duration.', "Write 25s or 25ms.")]),
    "a duration that is none": (LEAST + "budget: soon\n", [(5, 9, "budget", '"soon" is not a duration.', "Write 25s, 250ms or 2m.")]),
    "a duration too long": (LEAST + "budget: 25h\n", [(5, 9, "budget", '"25h" is too long.', "The longest duration is 24h.")]),
    "no time at all": (LEAST + "budget: 0s\n", [(5, 9, "budget", "nothing can happen in no time.", "Write for example 10m.")]),
    "a wait of no time": (
        LEAST + "    timeout: 0s\n    until: {duration: 0ms}\n    expect: {every: 0m}\n",
        [
            (5, 14, "probes[0].timeout", "nothing can happen in no time.", "Write for example 30s."),
            (6, 23, "probes[0].until.duration", "nothing can happen in no time.", "Write for example 30s."),
            (7, 21, "probes[0].expect.every", "nothing can happen in no time.", "Write for example 30s."),
        ],
    ),
    "more than all": (
        LEAST + "criteria: {success_rate: 101%}\n",
        [(5, 26, "criteria.success_rate", '"101%" is more than all.', "Write a percentage from 0% to 100%.")],
    ),
    "a share that is none": (
        LEAST + "criteria: {success_rate: most}\n",
        [(5, 26, "criteria.success_rate", '"most" is not a percentage.', "Write 90% or 90.")],
    ),
    "an unknown key": (
        LEAST + "    untill: {events: 3}\n",
        [(5, 5, "probes[0].untill", 'unknown key "untill".', 'Did you mean "until"?')],
    ),
    "an unknown key like none": (
        LEAST + "criteria: {colour: red}\n",
        [
            (
                5,
                12,
                "criteria.colour",
                'unknown key "colour".',
                "Known keys here: success_rate, event_deadline, first_event, deadline_from, decide, confidence.",
            ),
        ],
    ),
    "a key that is no word": (
        LEAST + "? [a]\n: b\n",
        [
            (
                5,
                3,
                "?",
                'unknown key "?".',
                "Known keys here: version, name, target, criteria, probes, fallbacks, services, budget, follow_up.",
            )
        ],
    ),
    "a missing key": (
        "version: 1\nprobes:\n  - url: https://a.test/\n",
        [(3, 5, "probes[0].name", 'the key "name" is missing.', "Add name: small wallet.")],
    ),
    "a missing version": (LEAST.removeprefix("version: 1\n"), [(1, 1, "version", 'the key "version" is missing.', "Add version: 1.")]),
    "a version nobody knows": (
        LEAST.replace("version: 1", "version: 2"),
        [(1, 10, "version", '"2" is not known here.', "Write one of: 1.")],
    ),
    "a key twice": (LEAST + "name: a\nname: b\n", [(6, 1, "name", 'the key "name" stands here twice.', "Keep one of them.")]),
    "a header twice": (
        LEAST + "    headers: {X: a, X: b}\n",
        [(5, 21, "probes[0].headers.X", '"X" stands here twice.', "Keep one of them.")],
    ),
    "a probe's name twice": (
        LEAST + "  - name: a\n    url: https://b.test/\n",
        [(5, 11, "probes[1].name", 'the name "a" is taken by probes[0].', "Give each probe its own name.")],
    ),
    "a name that one of two variants has": (
        LEAST.replace("name: a", "name: a over IPv4") + "  - name: a\n    url: https://b.test/\n    ip: both\n",
        [(5, 11, "probes[1].name", 'the name "a over IPv4" is taken by probes[0].', "Give each probe its own name.")],
    ),
    "no probes": (
        "version: 1\nprobes: []\n",
        [(2, 9, "probes", "the list is empty.", "Name at least one probe, as in examples/quickstart.yml.")],
    ),
    "a mapping for a list": (
        "version: 1\nprobes: {name: a}\n",
        [(2, 9, "probes", "a mapping stands where a list is wanted.", 'Begin each entry with "- ".')],
    ),
    "a text for a mapping": (
        LEAST + "target: https://a.test\n",
        [
            (
                5,
                9,
                "target",
                '"https://a.test" stands where a mapping is wanted.',
                "Known keys: url, headers, health, tls, resolve, instance.",
            )
        ],
    ),
    "nothing for a mapping": (
        LEAST + "    until:\n",
        [(5, 11, "probes[0].until", "nothing stands where a mapping is wanted.", "Known keys: event, events, data, json, duration.")],
    ),
    "a list for a value": (
        LEAST + "    streams: [3]\n",
        [(5, 14, "probes[0].streams", "a list stands where one value is wanted.", "Write for example 20.")],
    ),
    "a text for headers": (
        LEAST + "    headers: X=y\n",
        [
            (
                5,
                14,
                "probes[0].headers",
                '"X=y" stands where a mapping is wanted.',
                "Write {Name: value}, or one Name: value a line below.",
            ),
        ],
    ),
    "a number that is none": (
        LEAST + "    streams: three\n",
        [(5, 14, "probes[0].streams", '"three" is not a whole number.', "Write for example 20.")],
    ),
    "too few": (LEAST + "    streams: 0\n", [(5, 14, "probes[0].streams", "0 is too few.", "The least is 1.")]),
    "too many": (LEAST + "    streams: 100001\n", [(5, 14, "probes[0].streams", "100001 is too many.", "The most is 100,000.")]),
    "neither yes nor no": (
        LEAST + "    concurrent: maybe\n",
        [(5, 17, "probes[0].concurrent", '"maybe" is not yes or no.', "Write true or false.")],
    ),
    "none of the words": (
        LEAST + "criteria: {deadline_from: requests}\n",
        [(5, 27, "criteria.deadline_from", '"requests" is not known here.', 'Did you mean "request"?')],
    ),
    "a protocol by another name": (
        LEAST + "    protocol: http2\n",
        [(5, 15, "probes[0].protocol", '"http2" is not known here.', "Write one of: both, h2, http/1.1.")],
    ),
    "HTTP/2 without TLS": (
        LEAST.replace("https:", "http:") + "    protocol: both\n",
        [(5, 15, "probes[0].protocol", "browsers speak HTTP/2 over TLS only.", "Ask an https:// URL, or leave protocol out.")],
    ),
    "an address of the other version": (
        LEAST.replace("a.test", "192.0.2.7") + "    ip: v6\n",
        [(5, 9, "probes[0].ip", "the URL's host is an IPv4 address.", "Name the host, or leave ip out.")],
    ),
    "a heartbeat that does not say how often": (
        LEAST + "    limits: {until: 9s, heartbeat: '/e?beat=1'}\ntarget: {url: https://a.test}\n",
        [
            (
                5,
                36,
                "probes[0].limits.heartbeat",
                "several intervals are tried, and the path does not say which.",
                "Write {seconds} where it stands.",
            )
        ],
    ),
    "a placeholder that is none": (
        LEAST + "    limits: {until: 9s, silent: '/e?s={seconds}'}\ntarget: {url: https://a.test}\n",
        [(5, 33, "probes[0].limits.silent", '"{seconds}" is not put in here.', "Only heartbeat has {seconds} and {bytes}.")],
    ),
    "a search longer than the run": (
        LEAST + "    limits: {until: 10m}\n",
        [(5, 21, "probes[0].limits.until", "the run's budget is over by then.", "Raise budget above 10m.")],
    ),
    "a resume of a POST": (
        LEAST + "    method: POST\n    resume: {after: 5 events}\n",
        [(6, 13, "probes[0].resume", "nobody resumes a POST: EventSource reconnects with GET.", "Leave resume out.")],
    ),
    "a preset that is told not to stream": (
        LEAST + "    preset: openai-chat\n    body: {model: m, stream: false}\n",
        [
            (
                3,
                5,
                "probes[0]",
                "the preset openai-chat asks for a stream, and the body says stream: false.",
                "Leave stream out of the body.",
            )
        ],
    ),
    "a key without its certificate": (
        LEAST + "target: {tls: {key: k.pem}}\n",
        [(5, 21, "target.tls.key", "a key alone shows nobody who asks.", "Add cert: client.pem, the certificate it belongs to.")],
    ),
    "a name for an address": (
        LEAST + "target: {resolve: {a.test: b.test}}\n",
        [
            (
                5,
                28,
                "target.resolve.a.test",
                '"b.test" is no IP address.',
                "Write an IPv4 or IPv6 address, as 192.0.2.7, or several with commas.",
            )
        ],
    ),
    "an empty name": (
        LEAST.replace("name: a", 'name: ""'),
        [(3, 11, "probes[0].name", "the text is empty.", "Write for example small wallet.")],
    ),
    "a name too long": (
        LEAST + f"name: {'x' * 201}\n",
        [(5, 7, "name", "the text has 201 characters.", "At most 200 are taken.")],
    ),
    "a URL without a scheme": (
        LEAST.replace("https://a.test/", "a.test/x"),
        [(4, 10, "probes[0].url", '"a.test/x" has no scheme.', "Write https://a.test/x.")],
    ),
    "a scheme that is not asked": (
        LEAST.replace("https", "ftp"),
        [(4, 10, "probes[0].url", '"ftp://a.test/" has the scheme ftp.', "Write http:// or https://.")],
    ),
    "a URL with a blank": (
        LEAST.replace("a.test/", "a.test/b c"),
        [
            (
                4,
                10,
                "probes[0].url",
                '"https://a.test/b c" holds a blank or a control character.',
                "Write it percent-encoded, %20 for a blank.",
            ),
        ],
    ),
    "a URL without a host": (
        LEAST.replace("a.test/", "/x"),
        [
            (
                4,
                10,
                "probes[0].url",
                '"https:///x" names no host and port that can be asked.',
                "Write for example https://app.example.test.",
            ),
        ],
    ),
    "a fragment": (
        LEAST.replace("a.test/", "a.test/#x"),
        [(4, 10, "probes[0].url", '"https://a.test/#x" has a fragment, which is never sent.', "Remove everything from # on.")],
    ),
    "a path that is a URL": (
        LEAST.replace("url: ", "path: ") + "target: {url: https://b.test}\n",
        [(4, 11, "probes[0].path", '"https://a.test/" is a whole URL.', "Use the key url for it, or write only its path.")],
    ),
    "a path without its slash": (
        LEAST + "target: {url: https://b.test, health: health}\n",
        [(5, 39, "target.health", '"health" is no path.', "Write /health.")],
    ),
    "a path and a url": (
        LEAST + "    path: /x\ntarget: {url: https://b.test}\n",
        [
            (
                3,
                5,
                "probes[0]",
                "a probe has a path or a whole url, not both.",
                "Write path: /events, or url: https://app.example.test/events.",
            ),
        ],
    ),
    "neither path nor url": (
        "version: 1\nprobes:\n  - name: a\n",
        [
            (
                3,
                5,
                "probes[0]",
                "the probe has neither path nor url.",
                "Write path: /events, or url: https://app.example.test/events.",
            ),
        ],
    ),
    "a path without a target": (
        "version: 1\nprobes:\n  - name: a\n    path: /x\n",
        [(4, 11, "probes[0].path", "a path needs the target's url.", "Add target: {url: https://app.example.test}.")],
    ),
    "an end that says nothing": (
        LEAST + "    until: {}\n",
        [(5, 12, "probes[0].until", "the end is not said.", 'Write {event: complete}, {events: 20}, {data: "[DONE]"} or {duration: 30s}.')],
    ),
    "a timeout within the planned duration": (
        LEAST + "    until: {duration: 30s}\n    timeout: 20s\n",
        [
            (
                6,
                14,
                "probes[0].timeout",
                "sse-check would give up before the planned duration is over.",
                "Make timeout longer than until.duration.",
            ),
        ],
    ),
    "a ramp of one stream": (
        LEAST + "    ramp: 10s\n",
        [(5, 11, "probes[0].ramp", "one stream has nothing to spread.", "Ask for several streams, or leave ramp out.")],
    ),
    "a ramp of no time": (
        LEAST + "    streams: 9\n    ramp: 0s\n",
        [(6, 11, "probes[0].ramp", "nothing can be spread over no time.", "Write for example 10s, or leave ramp out: all at once.")],
    ),
    "a ramp longer than the run": (
        LEAST + "    streams: 9\n    ramp: 9m\n    timeout: 10m\nbudget: 5m\n",
        [(6, 11, "probes[0].ramp", "the run's budget is over before the last stream is opened.", "Make ramp shorter than 5m.")],
    ),
    "a ramp longer than its streams": (
        LEAST + "    streams: 9\n    ramp: 30s\n    until: {duration: 10s}\n",
        [
            (
                6,
                11,
                "probes[0].ramp",
                "the first stream is over, after 30s at the latest, before the last is opened: never are all open.",
                "Make ramp shorter, or let the streams last longer.",
            )
        ],
    ),
    "a fallback that is none": (
        LEAST + "fallbacks:\n  - {}\n",
        [
            (
                6,
                5,
                "fallbacks[0]",
                "a fallback is one of websocket and batch.",
                "Write - websocket: {path: /ws} or - batch: {path: /result}.",
            ),
        ],
    ),
    "two fallbacks in one": (
        LEAST + "fallbacks:\n  - {websocket: {url: 'wss://a.test'}, batch: {url: 'https://a.test'}}\n",
        [
            (
                6,
                5,
                "fallbacks[0]",
                "a fallback is one of websocket and batch.",
                "Write - websocket: {path: /ws} or - batch: {path: /result}.",
            ),
        ],
    ),
    "a fallback to nowhere": (
        LEAST + "fallbacks:\n  - batch: {method: POST}\n",
        [(6, 5, "fallbacks[0]", "a fallback has either a path at the target or a whole url.", "Write for example {path: /ws}.")],
    ),
    "a fallback's path without a target": (
        LEAST + "fallbacks:\n  - websocket: {path: /ws}\n",
        [(6, 5, "fallbacks[0]", "a fallback has either a path at the target or a whole url.", "Write for example {path: /ws}.")],
    ),
    "a WebSocket's URL": (
        LEAST + "fallbacks:\n  - websocket: {url: https://a.test}\n",
        [(6, 22, "fallbacks[0].websocket.url", '"https://a.test" has the scheme https.', "Write ws:// or wss://.")],
    ),
    "a method that is none": (
        LEAST + '    method: "GET /"\n',
        [(5, 13, "probes[0].method", '"GET /" is no HTTP method.', "Write GET or POST.")],
    ),
    "a header's name": (
        LEAST + '    headers: {"X Y": a}\n',
        [(5, 15, "probes[0].headers.X Y", '"X Y" is no header name.', "Use letters, digits and hyphens, as in X-API-Key.")],
    ),
    # the file itself
    "empty": ("", [(1, 1, "", "the scenario is empty.", "Begin with version: 1 and probes:, as in examples/quickstart.yml.")]),
    "only comments": (
        "# nothing\n\n# here\n",
        [(1, 1, "", "the scenario is empty.", "Begin with version: 1 and probes:, as in examples/quickstart.yml.")],
    ),
    "just a text": ("sse", [(1, 1, "", '"sse" is no scenario.', "Begin with version: 1 and probes:, as in examples/quickstart.yml.")]),
    "a list": ("- a", [(1, 1, "", "a list is no scenario.", "Begin with version: 1 and probes:, as in examples/quickstart.yml.")]),
    "two documents": (
        LEAST + "---\n" + LEAST,
        [(5, 1, "", "a second YAML document begins.", "Keep one scenario in a file, without a --- line in it.")],
    ),
    "not UTF-8": (LEAST.encode() + b"name: \xff\n", [(5, 7, "", "byte 0xff is not UTF-8.", "Save the file as UTF-8.")]),
    "not UTF-8 after letters of several bytes": (
        LEAST.encode() + "name: äö".encode() + b"\xff\n",
        [(5, 9, "", "byte 0xff is not UTF-8.", "Save the file as UTF-8.")],
    ),
    "a number of a body that JSON's readers do not hold": (
        LEAST + "    body: {a: [1, 18446744073709551616, " + "9" * 400 + "]}\n",
        [
            (5, 19, "probes[0].body.a[1]", "the number has more than 64 bits.", "Write it in quotes, if a text is what is wanted."),
            (5, 41, "probes[0].body.a[2]", "the number has more than 64 bits.", "Write it in quotes, if a text is what is wanted."),
        ],
    ),
    "not UTF-8 behind other line ends": (
        b"# a\r# b\xc2\x85" + LEAST.encode() + b"name: \xff\n",
        [(7, 7, "", "byte 0xff is not UTF-8.", "Save the file as UTF-8.")],
    ),
    "a control character behind other line ends": (
        "# a\r# b\u2028" + LEAST + "name: a\x00b\n",
        [(7, 8, "", "the character U+0000 is not allowed in YAML.", "Remove it.")],
    ),
    "a control character": (LEAST + "name: a\x00b\n", [(5, 8, "", "the character U+0000 is not allowed in YAML.", "Remove it.")]),
    "a tab": (
        LEAST + "\tname: a\n",
        [(5, 1, "", "not YAML: found character '\\t' that cannot start any token.", "Indent with spaces; YAML allows no tabs.")],
    ),
    "a colon in a value": (
        LEAST + "name: a: b\n",
        [
            (
                5,
                8,
                "",
                "not YAML: mapping values are not allowed here.",
                'Put a value that contains ": " in quotes, and check the indentation.',
            ),
        ],
    ),
    "an alias without its anchor": (
        LEAST + "name: *x\n",
        [
            (
                5,
                7,
                "",
                "not YAML: found undefined alias 'x'.",
                "Define the anchor (&name) before its alias (*name), or quote a value that begins with *.",
            ),
        ],
    ),
    "an open bracket": (
        LEAST + "name: [a\n",
        [
            (
                6,
                1,
                "",
                "not YAML: expected ',' or ']', but got '<stream end>'.",
                "Check the indentation, the brackets and the quotes here and in the line above.",
            ),
        ],
    ),
    # variables
    "a variable nobody handed over": (
        LEAST + "name: ${NAME}\n",
        [
            (
                5,
                7,
                "name",
                "the variable NAME was not handed over.",
                "Pass --var NAME=… or --secret-env NAME, or name it in the action's input variables or secrets.",
            ),
        ],
    ),
    "a variable that never ends": (
        LEAST + "name: ${NAME\n",
        [(5, 7, "name", '"${" begins no variable.', "Write ${NAME}, or $${ for the characters themselves.")],
    ),
}


def test_a_body_is_posted_unless_the_scenario_says_otherwise():
    """
    Of probes and of batch fallbacks; a preset knows its own method.
    """
    text = (
        "version: 1\ntarget: {url: 'https://a.test'}\nprobes:\n  - {name: a, path: /, body: x}\n  - {name: b, path: /, body: x, method: GET}\n"
        "  - {name: c, path: /, preset: mcp-sse, body: {name: t}}\n  - {name: d, path: /}\nfallbacks:\n  - batch: {path: /, body: {a: 1}}\n"
    )
    plan = load(text.encode(), file="s.yml")
    assert [p.method for p in plan.probes] == ["POST", "GET", "GET", "GET"]
    assert plan.fallbacks[0].batch is not None
    assert plan.fallbacks[0].batch.method == "POST"


@pytest.mark.parametrize(("text", "expected"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_mistake_says_where_it_is_what_is_wrong_and_what_would_be_right(text: str | bytes, expected: list[Where]) -> None:
    """Every mistake names the file, line, column and path, what is wrong there and what would be right."""
    assert mistakes_of(text) == tuple(
        Mistake(file="s.yml", line=line, column=column, path=path, wrong=wrong, right=right)
        for line, column, path, wrong, right in expected
    )


def test_a_mistake_reads_as_editors_expect() -> None:
    """A mistake is printed as file:line:column: path: what is wrong, what would be right."""
    with pytest.raises(ScenarioError, match=r'^s\.yml:5:9: budget: "25" is not a duration\. Write 25s or 25ms\.$'):
        read(LEAST + "budget: 25\n")


def test_a_full_stop_in_a_value_does_not_tear_the_sentence() -> None:
    """A quoted value may hold a full stop and a blank: what is wrong stays one sentence, what would be right another."""
    (mistake,) = mistakes_of(LEAST + "budget: 1. 2\n")

    assert (mistake.wrong, mistake.right) == ('"1. 2" is not a duration.', "Write 1s or 1ms.")


def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    """One reading tells every mistake, first line first, whatever order they were found in."""
    text = """\
version: 2
probes:
  - name: a
    path: events
    streams: no
    untill: {}
  - url: ftp://x
criteria: {success_rate: 200, first_evnt: 1s}
budget: 1
"""
    found = mistakes_of(text)

    assert [(m.line, m.column, m.path) for m in found] == [
        (1, 10, "version"),
        (4, 11, "probes[0].path"),
        (5, 14, "probes[0].streams"),
        (6, 5, "probes[0].untill"),
        (7, 5, "probes[1].name"),
        (7, 10, "probes[1].url"),
        (8, 26, "criteria.success_rate"),
        (8, 31, "criteria.first_evnt"),
        (9, 9, "budget"),
    ]


def test_mistakes_of_sense_come_at_once_too() -> None:
    """Parts that exclude each other are told together, as types are."""
    text = "version: 1\nprobes:\n  - {name: a}\n  - {name: a, url: 'http://a.test', until: {}}\nfallbacks: [{}]\nbudget: 0s\n"

    assert [m.path for m in mistakes_of(text)] == ["probes[0]", "probes[1].name", "probes[1].until", "fallbacks[0]", "budget"]


def test_the_first_fifty_mistakes_of_the_file_are_told() -> None:
    """A file that is wrong everywhere is answered with the 50 mistakes that stand first in it, not with thousands."""
    found = mistakes_of("probes:\n" + "  - {streams: 0}\n" * 100)

    assert len(found) == 50
    assert found[0].path == "version"  # a missing key is only known at the end, and still stands first
    assert {m.line for m in found} == set(range(1, 27))


# --- hostile files --------------------------------------------------------------------------------------------------


def refused_quickly(text: str | bytes) -> str:
    """The one mistake of a hostile file, which must be found in far less time than the file would like to cost."""
    began = time.process_time()
    (mistake,) = mistakes_of(text)
    assert time.process_time() - began < 5
    return mistake.wrong


def test_aliases_say_a_thing_once() -> None:
    """Anchors and aliases work: what is anchored reads as if it were written out."""
    scenario = read(ALIASES)

    assert [p.headers for p in scenario.probes] == [{"X-API-Key": "abc"}] * 2
    assert [p.until for p in scenario.probes] == [Until(events=5)] * 2


def test_an_alias_bomb_is_refused_quickly() -> None:
    """Nine levels of nine aliases each, 387 million values, are refused after 50,000."""
    levels = ["a: &a [x,x,x,x,x,x,x,x,x]"] + [f"{c}: &{c} [{','.join([f'*{p}'] * 9)}]" for p, c in zip("abcdefgh", "bcdefghi", strict=True)]
    text = LEAST + "    body:\n" + "".join(f"      {level}\n" for level in levels)

    assert refused_quickly(text) == "with its aliases the scenario has more than 50,000 values."


@pytest.mark.parametrize("body", ["&b {x: *b}", "&b [*b]", "&b {x: [{y: *b}]}"])
def test_an_alias_to_what_contains_it_is_refused_quickly(body: str) -> None:
    """A value that contains itself never ends, and is refused."""
    assert refused_quickly(LEAST + f"    body: {{z: {body}}}\n") == "an alias points at a value that contains it."


def test_a_probe_that_contains_its_list_is_refused_quickly() -> None:
    """A list that contains itself is refused wherever it stands."""
    assert refused_quickly("version: 1\nprobes: &p\n  - *p\n") == "an alias points at a value that contains it."


def test_a_chain_of_aliases_is_refused_before_the_interpreter_gives_up() -> None:
    """Aliases that nest each in the next one reach any depth from a flat file; they are refused as too deep."""
    links = "".join(f"      a{n}: &a{n} {{x: *a{n - 1}}}\n" for n in range(1, 400))
    found = mistakes_of(LEAST + "    body:\n      a0: &a0 {x: 1}\n" + links)

    assert "deep" in found[0].wrong


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 10_000, "- " * 10_000, LEAST + "    body: " + "[" * 40 + "]" * 40])
def test_deep_nesting_is_refused_quickly(text: str) -> None:
    """More than 32 levels are refused, whether or not they are ever closed."""
    assert refused_quickly(text) == "nested deeper than 32 levels."


def test_very_many_values_are_refused_quickly() -> None:
    """More than 100,000 values are refused."""
    assert refused_quickly("- \n" * 150_000) == "more than 100,000 values."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(LEAST + "".join(f"k{number}: 1\n" for number in range(20_000)), 'unknown key "k0".', id="keys"),
        pytest.param(LEAST + "name: " + "${A}" * 20_000, "the variable A was not handed over.", id="variables"),
        pytest.param(
            LEAST + "services: {" + ", ".join(f"s{n}: {{image: x, in_front_of: s{n + 1}}}" for n in range(2000)) + "}",
            "2000 services are named.",
            id="services in front of each other",
        ),
        pytest.param(
            "version: 1\nprobes:\n" + "".join(f"  - {{name: p{n}, url: 'https://h/', streams: 100000}}\n" for n in range(1000)),
            "100,000,000 streams are asked for in all.",
            id="streams",
        ),
    ],
)
def test_very_many_mistakes_are_told_quickly(text: str, said: str) -> None:
    """What is wrong thousands of times, or asks for more than any machine opens, is answered at once."""
    began = time.process_time()
    assert mistakes_of(text)[0].wrong == said
    assert time.process_time() - began < 5


def test_a_file_over_one_mebibyte_is_refused_unread() -> None:
    """1 MiB is read, one byte more is not."""
    padding = 1024 * 1024 - len(LEAST)
    assert read(LEAST + "#" * padding) == read(LEAST)

    (mistake,) = mistakes_of(LEAST + "#" * (padding + 1))
    assert (mistake.line, mistake.column) == (1, 1)
    assert (mistake.wrong, mistake.right) == ("the scenario has 1,048,577 bytes.", "At most 1 MiB (1,048,576 bytes) is read.")


def test_tags_build_nothing() -> None:
    """A tag that would build a Python object is no more than a text."""
    assert read(LEAST + "name: !!python/object/apply:os.system [x]\n".replace("[x]", "x")).name == "x"


@pytest.mark.parametrize(
    "text",
    [
        LEAST + 'name: "\\UFFFFFFFF"\n',
        LEAST + 'name: "\\U00110000"\n',
        f"%YAML {'1' * 5000}.1\n---\n" + LEAST,
        LEAST + 'name: "\\ud800"\n',
    ],
    ids=["an escape beyond any character", "an escape beyond Unicode", "a version of 5,000 digits", "half a surrogate pair"],
)
def test_what_is_no_text_is_a_mistake_of_the_file(text: str) -> None:
    """Escapes and versions that no text can hold are told as mistakes, not as a crash here or at the first report."""
    assert len(mistakes_of(text)) == 1


# --- variables ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["a: b", "a\nbudget: 1s", "{x: y}", "[x]", "&a *b", "# c", "- d", "'", '"', "!!int 3", "null", "~", "2"])
def test_a_variable_cannot_become_yaml(value: str) -> None:
    """Variables are put in after YAML is read: whatever a value holds stays one text."""
    scenario = read(LEAST + "name: ${V}\n    # end\n", V=value)

    assert scenario == msgspec.structs.replace(read(LEAST), name=value)


@pytest.mark.parametrize("value", ["a: b", "a\nb: c", "true", "null", "3", "[x]"])
def test_a_variable_in_a_body_stays_a_text(value: str) -> None:
    """In a body sent as JSON too, a variable's value is a text and never a number, a list or nothing."""
    assert read(LEAST + "    body: {q: [\"${V}\", '${V}', !!int '${V}']}\n", V=value).probes[0].body == {"q": [value] * 3}


def test_a_variable_stands_anywhere_in_a_value() -> None:
    """Variables may be part of a value, several at once, and in numbers and durations too."""
    scenario = read(
        LEAST.replace("https://a.test/", "${BASE}/v${N}/x") + "    streams: ${N}\nbudget: ${N}m\n", BASE="https://b.test", N="4"
    )

    assert (scenario.probes[0].url, scenario.probes[0].streams, scenario.budget) == ("https://b.test/v4/x", 4, 240.0)


def test_a_value_is_not_searched_for_variables_again() -> None:
    """What a variable holds is taken as it is, even where it looks like a variable."""
    assert read(LEAST + "name: ${A}\n", A="${B} $$", B="no").name == "${B} $$"


def test_two_dollars_write_one() -> None:
    """$${ writes the characters themselves; a single $ needs no care."""
    assert read(LEAST + "name: a $${B} $$ $x $ {y} $\n").name == "a ${B} $ $x $ {y} $"


def test_a_missing_variable_names_the_nearest() -> None:
    """A variable misspelt is answered with the one that was handed over."""
    (mistake,) = mistakes_of(LEAST + "name: ${BASE_ULR}\n", Variables(values={"BASE_URL": "x", "OTHER": "y"}))

    assert mistake.right.startswith("Did you mean ${BASE_URL}? Pass --var BASE_ULR=…")


def test_an_empty_variable_is_a_mistake() -> None:
    """An empty value is told, with the reason it usually has on GitHub."""
    (mistake,) = mistakes_of(LEAST + "name: x${A}\n", Variables(values={"A": ""}))

    assert (mistake.wrong, mistake.right) == (
        "the variable A is empty.",
        "Give it a value; GitHub hands no secrets to workflows started from a fork.",
    )


@pytest.mark.parametrize("where", ["name: x${A}\n", "    body: ${A}\n", "    body: {a: ['${A}']}\n", "    body: {headers: {a: '${A}'}}\n"])
def test_a_variable_that_is_no_text_is_a_mistake(where: str) -> None:
    """A byte that is no UTF-8 can be sent in a header only: elsewhere it is told by the variable's name."""
    (mistake,) = mistakes_of(LEAST + where, Variables(values={"A": "a\udcff"}, secrets=frozenset({"A"})))

    assert "${A}" in mistake.wrong
    assert mistake.wrong.endswith("holds a byte that is not UTF-8.")
    assert mistake.right == "Give it a value that is UTF-8 text; only a header's may be of any bytes."


def test_a_header_may_be_of_any_bytes() -> None:
    """HTTP knows no character set for it (RFC 9110, section 5.5)."""
    scenario = load((LEAST + "    headers: {X-Key: '${A}'}\n").encode(), file="s.yml", variables=Variables(values={"A": "a\udcff"}))

    assert scenario.probes[0].headers == {"X-Key": "a\udcff"}


def test_a_wrong_value_is_told_where_the_variable_stands() -> None:
    """The place of a mistake in a variable's value is the place of the variable."""
    (mistake,) = mistakes_of(LEAST + "budget: ${B}\n", Variables(values={"B": "long"}))

    assert (mistake.line, mistake.column, mistake.wrong) == (5, 9, '"long" is not a duration.')


def test_a_scenario_can_be_checked_without_its_variables() -> None:
    """With `assume`, a variable without a value is taken to be right where it stands, and all else is still checked."""
    text = LEAST.replace("https://a.test/", "${URL}") + "    streams: ${N}\n    concurrent: ${C}\nbudget: ${B}\nname: ${V\n"

    assert [m.path for m in mistakes_of(text, Variables(assume=True))] == ["name"]


def test_the_variables_of_a_scenario_are_known_beforehand() -> None:
    """Each name once, in the order of the file; escaped ones are none."""
    assert variables_in(b"a: ${B}\nb: $${C} ${A} ${B} ${ D }\n") == ("B", "A")


PLACES = {
    "a duration": LEAST + "budget: ${S}\n",
    "a percentage": LEAST + "criteria: {success_rate: '${S}'}\n",
    "a number": LEAST + "    streams: ${S}\n",
    "a choice": LEAST + "criteria: {deadline_from: '${S}'}\n",
    "yes or no": LEAST + "    concurrent: ${S}\n",
    "a URL": LEAST.replace("https://a.test/", "${S}"),
    "a host": LEAST.replace("a.test/", "u:p@${S}"),
    "a path": LEAST + "target: {url: https://b.test, health: '${S}'}\n",
    "a method": LEAST + "    method: ${S}\n",
    "a file": LEAST + "target: {tls: {ca: '${S}'}}\n",
    "a name twice": LEAST.replace("name: a", "name: ${S}") + "  - {name: '${S}', url: https://b.test}\n",
}


@pytest.mark.parametrize(
    "secret", ["hunter2/hunter2 x", "Hunter. Two, two", "correct\nhorse battery"], ids=["blank", "full stop", "line break"]
)
@pytest.mark.parametrize("text", PLACES.values(), ids=PLACES.keys())
def test_a_secret_in_the_wrong_place_is_quoted_by_no_mistake(text: str, secret: str) -> None:
    """Whatever a secret is mistaken for, no mistake shows it."""
    with pytest.raises(ScenarioError) as caught:
        load(
            text.encode(),
            file="s.yml",
            variables=Variables(values={"S": secret}, secrets=frozenset({"S"})),
            unusable=lambda named: f"no file {named.name}",
        )

    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "secret", "shown"),
    [
        (LEAST.replace("a.test/", "u:${S}@a.test"), "hunter2hunter2/x", "hunter2hunter2"),
        (LEAST + "budget: ${S}\n", "48151623 42", "48151623"),
        (LEAST + "    streams: ${S}\n", "000481516234", "481516234"),
    ],
    ids=["a password taken for a port", "digits taken for a duration", "digits taken for a number"],
)
def test_no_mistake_shows_a_part_of_a_secret(text: str, secret: str, shown: str) -> None:
    """What is derived from a secret on the way to a mistake (a port, an example, a number) is not shown either."""
    found = mistakes_of(text, Variables(values={"S": secret}, secrets=frozenset({"S"})))

    assert shown not in "\n".join(map(str, found))


def test_a_variable_that_is_no_secret_is_quoted() -> None:
    """Only secrets are hidden: a plain variable's value helps to find the mistake."""
    (mistake,) = mistakes_of(LEAST + "budget: ${B}\n", Variables(values={"B": "Hunter", "S": "other"}, secrets=frozenset({"S"})))

    assert mistake.wrong == '"Hunter" is not a duration.'


# --- headers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "abc\n", "a\0b", "a\x7fb"])
@pytest.mark.parametrize("where", ["    headers: {X: '${V}'}\n", "target: {headers: {X: 'Bearer ${V}'}}\n"], ids=["probe", "target"])
def test_a_value_cannot_inject_a_header(where: str, value: str) -> None:
    """A line break or a control character in a header's value is refused, and so is nothing sent."""
    (mistake,) = mistakes_of(LEAST + where, Variables(values={"V": value}))

    assert mistake.wrong == "a header's value holds a line break or a control character."
    assert mistake.right == "Remove it; a trailing line break often comes with a pasted secret."


@pytest.mark.parametrize("escape", ["\\r\\n", "\\n", "\\0", "\\e"])
def test_an_escape_cannot_inject_a_header(escape: str) -> None:
    """What YAML's own escapes write into a header's value is refused alike."""
    (mistake,) = mistakes_of(LEAST + f'    headers: {{X: "a{escape}b"}}\n')

    assert (mistake.line, mistake.column, mistake.path) == (5, 18, "probes[0].headers.X")


@pytest.mark.parametrize("name", ["X: a\\r\\nY", "X\\n", "", "X:", "(X)", "Ä"])
def test_a_name_cannot_inject_a_header(name: str) -> None:
    """A header's name is a token as HTTP has it, and nothing else."""
    (mistake,) = mistakes_of(LEAST + f'    headers: {{"{name}": a}}\n')

    assert "is no header name." in mistake.wrong


@pytest.mark.parametrize("url", ["https://a.test/\\r\\nX: 1", "https://a.test/\\tx", "https://a.test/ HTTP/1.1", "https://a.test\\0"])
def test_a_url_cannot_inject_a_request(url: str) -> None:
    """Blanks and control characters in a URL are refused."""
    (mistake,) = mistakes_of(LEAST.replace("https://a.test/", f'"{url}"'))

    assert mistake.wrong.endswith("holds a blank or a control character.")


# --- what is read ---------------------------------------------------------------------------------------------------


def test_the_defaults_are_the_founding_criteria() -> None:
    """90 % of the events within 25 s of the request, the first within 2 s."""
    scenario = read(LEAST)

    assert scenario.criteria == Criteria(success_rate=90.0, event_deadline=25.0, first_event=2.0, deadline_from="request")
    assert scenario.target.tls.verify is True
    assert (scenario.probes[0].method, scenario.probes[0].until, scenario.fallbacks) == ("GET", Until(), ())


@pytest.mark.parametrize(
    ("extra", "streams"),
    [("", 1), ("concurrent: false", 1), ("concurrent: true", 3), ("streams: 5", 5), ("{concurrent: true, streams: 7}", 7)],
)
def test_a_concurrent_probe_opens_three_streams_unless_told(extra: str, streams: int) -> None:
    """One stream; three where the probe is only said to be concurrent; else as many as it says."""
    lines = "".join(f"    {part.strip()}\n" for part in extra.strip("{}").split(",") if part)

    assert read(LEAST + lines).probes[0].stream_count == streams


def test_everything_that_can_be_said_is_read() -> None:
    """Durations become seconds, percentages numbers, a body keeps its JSON types."""
    scenario = read(WHOLE)
    first, second, third = scenario.probes

    assert scenario.criteria == Criteria(deadline_from="previous")
    assert (first.expect.events, first.expect.every, first.expect.heartbeat, first.timeout) == (20, 1.0, 15.0, 120.0)
    assert second.body == {"query": "x", "deep": [1, 2.5, True, None, {"a": "b"}]}
    assert (second.method, second.until) == ("POST", Until(events=20, data="[DONE]", duration=30.0))
    assert (third.body, third.stream_count, scenario.budget) == ("a=b", 3, 600.0)
    assert [scenario.url_of(p) for p in scenario.probes] == [
        "https://app.example.test/v4/wallet/8kGf/stream",
        "https://other.example.test/stream?q=1",
        "https://app.example.test/s",
    ]
    assert [scenario.fallback_url(option) for f in scenario.fallbacks if (option := f.websocket or f.batch)] == [
        "wss://example.test/ws",
        "https://example.test/batch",
        "wss://app.example.test/ws",
        "https://app.example.test/result",
    ]


@pytest.mark.parametrize("number", ["1.0e+999", "-1.0e+999", ".inf", ".nan"])
def test_a_number_that_json_cannot_write_stays_a_text(number: str) -> None:
    """A body's number is one that JSON can carry; what is beyond it is sent as the text it is."""
    assert read(LEAST + f"    body: {{n: {number}}}\n").probes[0].body == {"n": number}


def test_a_file_saved_with_a_byte_order_mark_is_read() -> None:
    """Editors on Windows save one; it is no part of the scenario."""
    assert read(b"\xef\xbb\xbf" + LEAST.encode()) == read(LEAST)
    assert read(LEAST.replace("\n", "\r\n")) == read(LEAST)
    assert mistakes_of(b"\xef\xbb\xbf" + LEAST.replace("1", "2", 1).encode())[0].column == 10  # the mark takes no column


def test_a_file_that_the_scenario_names_must_be_readable() -> None:
    """The CA file is checked before anything is sent, with the reason it cannot be read."""
    with pytest.raises(ScenarioError) as caught:
        load((LEAST + "target: {tls: {ca: my.pem}}\n").encode(), file="s.yml", unusable=lambda named: "no such file")

    (mistake,) = caught.value.mistakes
    assert (mistake.path, mistake.line, mistake.column) == ("target.tls.ca", 5, 20)
    assert mistake.wrong == '"my.pem" cannot be read: no such file.'


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ("", 30.0),
        ("timeout: 7s", 7.0),
        ("until: {duration: 60s}", 65.0),
        ("expect: {events: 100, every: 1s}", 155.0),
        ("expect: {events: 2, every: 1s}", 30.0),
    ],
)
def test_a_stream_is_given_the_longest_time_it_was_promised(lines: str, seconds: float) -> None:
    """Its own timeout, else the longest of deadline, duration and half as long again as its events take, and five seconds."""
    scenario = read(LEAST + (f"    {lines}\n" if lines else ""))

    assert stream_timeout(scenario, scenario.probes[0]) == seconds


@pytest.mark.parametrize("text", VALID.values(), ids=VALID.keys())
def test_a_scenario_survives_its_own_json(text: str) -> None:
    """What a recording keeps of the scenario reads back as the same value."""
    scenario = read(text)

    assert msgspec.json.decode(msgspec.json.encode(scenario), type=Scenario) == scenario


# --- the JSON Schema ------------------------------------------------------------------------------------------------

PUBLISHED: Any = json.loads(json.dumps(schema()))  # as `sse-check schema` prints it
SCHEMA = jsonschema.Draft202012Validator(PUBLISHED)


def complaints(text: str) -> list[str]:
    """What the JSON Schema has against a scenario, as an editor would show it."""
    return [f"{error.json_path}: {error.message}" for error in SCHEMA.iter_errors(yaml.safe_load(text))]


def test_the_schema_is_a_schema() -> None:
    """It is valid JSON Schema itself, of the version it names."""
    jsonschema.Draft202012Validator.check_schema(PUBLISHED)


@pytest.mark.parametrize(
    "text", [*VALID.values(), *(path.read_text("utf-8") for path in EXAMPLES)], ids=[*VALID, *(path.name for path in EXAMPLES)]
)
def test_what_the_reader_takes_the_schema_takes(text: str) -> None:
    """Every valid scenario, and every example that is handed out, is read and is valid by the schema."""
    load(text.encode(), file="s.yml", variables=Variables(assume=True))

    assert complaints(text) == []


# What the file's shape alone shows; sense (a path and a url, two probes of one name) is for the reader.
SHAPES = [
    "a duration in words",
    "a duration that is none",
    "a share that is none",
    "an unknown key",
    "an unknown key like none",
    "a missing key",
    "a missing version",
    "a version nobody knows",
    "no probes",
    "a mapping for a list",
    "a text for a mapping",
    "nothing for a mapping",
    "a list for a value",
    "a text for headers",
    "a number that is none",
    "too few",
    "too many",
    "neither yes nor no",
    "none of the words",
    "an empty name",
    "a name too long",
]


@pytest.mark.parametrize("name", SHAPES)
def test_what_the_reader_refuses_for_its_shape_the_schema_refuses(name: str) -> None:
    """An editor with the schema marks the same mistakes of shape."""
    text, _ = MALFORMED[name]
    assert isinstance(text, str)

    assert complaints(text) != []


@pytest.mark.parametrize("line", ["budget: 25", "criteria: {first_event: 2.0}", "criteria: {success_rate: 101}"])
def test_the_schema_refuses_bare_numbers_where_a_unit_is_wanted(line: str) -> None:
    """A duration is a text with its unit for the schema too, and a percentage ends at 100."""
    assert complaints(LEAST + line + "\n") != []


def default_of(key: str) -> Any:
    return PUBLISHED["$defs"]["Criteria"]["properties"][key]["default"]


def test_the_schema_tells_the_defaults_as_they_are_written() -> None:
    """An editor that shows the defaults shows the founding criteria, in the form a scenario has them."""
    assert [default_of(key) for key in ("success_rate", "event_deadline", "first_event", "deadline_from")] == [90.0, "25s", "2s", "request"]


def every_default(part: Any) -> list[tuple[Any, Any]]:
    """(schema, default) of all parts of a schema that have one."""
    if isinstance(part, dict):
        own = [({key: value for key, value in part.items() if key != "default"}, part["default"])] if "default" in part else []
        return own + [pair for value in part.values() for pair in every_default(value)]
    return [pair for value in part for pair in every_default(value)] if isinstance(part, list) else []


def test_the_schemas_defaults_are_valid_by_the_schema() -> None:
    """Whoever writes a default out has a valid scenario."""
    defs = {"$defs": PUBLISHED["$defs"]}
    wrong = [
        (part, default) for part, default in every_default(PUBLISHED) if not jsonschema.Draft202012Validator(defs | part).is_valid(default)
    ]

    assert wrong == []


# --- anything at all ------------------------------------------------------------------------------------------------

TOKENS = st.one_of(
    st.sampled_from(["version: 1\n", "probes:\n", "  - name: a\n", "    url: https://a.test/\n", "    path: /x\n"]),
    st.sampled_from(["target: {url: https://a.test}\n", "    until: {events: 3}\n", "budget: ", "name: ", "criteria: {", "fallbacks: ["]),
    st.sampled_from(
        ["    body: ", "    headers: ", "- websocket: {", "&a ", "*a", "&b ", "*b", "[", "]", "{", "}", ": ", "- ", ", ", "? "]
    ),
    st.sampled_from(["<<: ", "\n", "\n  ", "\n    ", " ", "\t", "#", "---\n", "...\n", "%YAML 1.1\n", "%TAG ! !x\n", "|\n", ">-\n"]),
    st.sampled_from(
        ["${X}", "${Y}", "${", "$${", "!!str ", "!!int ", "!!binary ", "!x ", "!<%ff>", '"', "'", "\\", "\\x", "\\U0010", "\\u"]
    ),
    st.sampled_from(
        ["~", "null", "90%", "25s", "0s", "1e999", "0x1F", "1:30", "2001-01-01", "yes", "://", "https://[", "@", "wss://a.test"]
    ),
    st.sampled_from(["\x00", "\x85", "\u2028", "\ufeff", "é", "😀"]),
).map(lambda token: token.encode())
FILES = st.one_of(
    st.binary(max_size=200),
    st.lists(TOKENS | st.binary(max_size=2), max_size=30).map(b"".join),
    st.builds(
        lambda text, at, length, token: text[: at % len(text)] + token + text[at % len(text) + length :],
        st.sampled_from([text.encode() for text in VALID.values()]),
        st.integers(0, 10_000),
        st.integers(0, 8),
        st.lists(TOKENS | st.binary(max_size=2), max_size=4).map(b"".join),
    ),
)


@settings(max_examples=600)
@given(raw=FILES, assume=st.booleans())
def test_any_file_is_a_scenario_or_a_list_of_mistakes(raw: bytes, assume: bool) -> None:
    """Whatever bytes a file has, they are read or answered with mistakes that have a place and a reason; nothing else is raised."""
    try:
        scenario = load(raw, file="s.yml", variables=Variables(values={"X": "x: y\n"}, assume=assume))
    except ScenarioError as error:
        found = error.mistakes
    else:
        assert msgspec.json.decode(msgspec.json.encode(scenario), type=Scenario) == scenario
        return

    assert found
    assert all(m.line >= 1 and m.column >= 1 and m.wrong for m in found)
    assert list(found) == sorted(found, key=lambda m: (m.line, m.column))
