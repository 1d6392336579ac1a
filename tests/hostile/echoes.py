"""A server that repeats the secrets it was sent, at every place of an answer and in every encoding; and a search for them in all that leaves."""

import asyncio
import base64
import html
import json
import os
import quopri
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from tests.support.process import ROOT
from tests.support.servers import SSE_HEAD, Handler, chunk

# Declared: with signs that every encoder treats in its own way, and one of digits. Not declared: named by where they stand.
KEY: Final = 'Zk7Qw9Lm/p+3="Üä&<x> 7R'
DIGITS: Final = "918273645546372819"
BEARER: Final = "Vb5Nc8Xz2Kj6Hg4Fd"
COOKIE: Final = "Tr3Ew6Qa9Sd2Zx5Cv"
PASSWORD: Final = "Pl0Ok9Ij8Uh7Yg6Tf"
QUERY: Final = "Mn4Bv7Cx1Lk3Jh9Gf"
FIELD: Final = "Wq2Er5Ty8Ui1Op4As"
ALL: Final = (KEY, DIGITS, BEARER, COOKIE, PASSWORD, QUERY, FIELD)
_FIRST_PART: Final = 8  # characters of a secret that must not remain of it either

ENCODINGS: Final[dict[str, Callable[[str], str]]] = {
    "as it is": str,
    "percent-encoded": lambda s: quote(s, safe=""),
    "percent-encoded twice": lambda s: quote(quote(s, safe=""), safe=""),
    "percent-encoded whole": lambda s: "".join(f"%{byte:02x}" for byte in s.encode()),
    "as JSON": lambda s: json.dumps(s)[1:-1],
    "as JSON, each escaped": lambda s: "".join(f"\\u{ord(char):04X}" for char in s),
    "as HTML": html.escape,
    "as HTML, each a reference": lambda s: "".join(f"&#x{ord(char):x};" for char in s),
    "in Base64": lambda s: base64.b64encode(s.encode()).decode(),
    "in Base64 after one byte": lambda s: base64.b64encode(b"u" + s.encode()).decode(),
    "in Base64 after two, for URLs": lambda s: base64.urlsafe_b64encode(b"u:" + s.encode()).decode(),
    "in hexadecimal": lambda s: s.encode().hex(),
    "quoted-printable": lambda s: quopri.encodestring(s.encode()).decode().rstrip("=\n"),
    "in lower case": str.lower,
}

_ERROR: Final = b"HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"


def _field(name: str, status: str = "500 Oops") -> Callable[[bytes], bytes]:
    return lambda s: f"HTTP/1.1 {status}\r\n{name}: ".encode() + s + b"\r\nContent-Length: 0\r\n\r\n"


def _stream(before: bytes, after: bytes = b"\n\n") -> Callable[[bytes], bytes]:
    return lambda s: SSE_HEAD + chunk(before + s + after) + chunk(b"data: 1\n\n") + chunk(b"")


# What an answer makes of a text, each without line breaks of its own.
SLOTS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "reason": lambda s: b"HTTP/1.1 500 " + s + b"\r\nContent-Length: 0\r\n\r\n",
    "header": _field("X-Request-Id"),
    "content-type": _field("Content-Type", "200 OK"),
    "content-encoding": lambda s: b"HTTP/1.1 200 OK\r\nContent-Encoding: " + s + b"\r\nContent-Type: text/event-stream\r\n\r\nxxx",
    "set-cookie": _field("Set-Cookie"),
    "server": _field("Server"),
    "location": lambda s: b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/" + s + b"\r\nContent-Length: 0\r\n\r\n",
    "location, no URL": _field("Location", "302 Found"),
    "error body": lambda s: _ERROR + b"you sent " + s,
    "error body, cut": lambda s: _ERROR + b"x" * 285 + s,
    "error body, far beyond": lambda s: _ERROR + b"x" * 1190 + s,
    "body that is no stream": lambda s: b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>" + s,
    "event type": _stream(b"data: 1\nevent: "),
    "event type, cut": _stream(b"data: 1\nevent: " + b"x" * 248),
    "event id": _stream(b"data: 1\nid: "),
    "event id, cut": _stream(b"data: 1\nid: " + b"x" * 248),
    "comment": _stream(b": "),
    "data": _stream(b"data: "),
    "name of a number": lambda s: _stream(b"data: ")(json.dumps({s.decode("latin-1"): 7}).encode()),
    "retry": _stream(b"data: 1\nretry: "),
    "unknown field": _stream(b"data: 1\n"),
}
NUMBER: Final = "number"  # the secret of digits as a JSON number, among others


def echo() -> Handler:
    """Answers /SLOT/ENCODING/SECRET, each a number, by that secret in that encoding at that place."""

    async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
        path = request.split(b" ", 2)[1].decode().partition("?")[0]
        asked = re.fullmatch(rf"/(\d+|{NUMBER})/(\d\d?)/(\d)", path)
        if asked is None:  # a redirect's
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        slot, encoding, secret = asked.groups()
        if slot == NUMBER:
            writer.write(
                SSE_HEAD + b"".join(chunk(b'data: {"n": %d, "card": %s}\n\n' % (n, DIGITS.encode())) for n in range(3)) + chunk(b"")
            )
            return
        text = list(ENCODINGS.values())[int(encoding)](ALL[int(secret)])
        writer.write(list(SLOTS.values())[int(slot)](text.encode()))

    return handler


Pairs = Sequence[tuple[int, int]]  # a place and an encoding, each a number
EACH: Final[Pairs] = [(slot, encoding) for slot in range(len(SLOTS)) for encoding in range(len(ENCODINGS))]
# Each place with two encodings, and each of these at three places.
SOME: Final[Pairs] = [(slot, (slot + step) % len(ENCODINGS)) for slot in range(len(SLOTS)) for step in (1, 8)]


def scenario_of(pairs: Pairs) -> str:
    """A scenario with a probe for each place and encoding, and two secrets there; all secrets are in each request."""
    probes = [
        f'  - {{name: "{s}.{e}.{n}", path: "/{s}/{e}/{n}?token={QUERY}", method: POST, body: "a=1&password={FIELD}", timeout: 5s}}'
        for s, e in pairs
        for n in {0, (s + e) % len(ALL)}
    ]
    probes.append(f'  - {{name: number, path: "/{NUMBER}/0/0"}}')
    return f"""\
version: 1
name: Echoes of ${{API_KEY}}
follow_up: false
target:
  url: ${{BASE}}
  headers: {{X-Custom: "${{API_KEY}}", X-Number: "${{DIGITS}}", Authorization: "Bearer {BEARER}", Cookie: "sid={COOKIE}"}}
probes:
""" + "\n".join(probes)


def with_user(base: str) -> str:
    """The base URL with a password in it."""
    return base.replace("//", f"//me:{PASSWORD}@")


def run_cli(base: str, directory: Path, pairs: Pairs) -> dict[str, bytes]:
    """The scenario by the command line; everything that it left behind."""
    (directory / "s.yml").write_text(scenario_of(pairs))
    arguments = ["run", "s.yml", "--var", f"BASE={with_user(base)}", "--secret-env", "API_KEY", "--secret-env", "DIGITS"]
    done = subprocess.run(
        [sys.executable, "-m", "sse_check", *arguments, "--report-dir", "out", "--format", "json"],
        cwd=directory, env={**os.environ, "PYTHONPATH": str(ROOT), "API_KEY": KEY, "DIGITS": DIGITS}, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr.decode()
    return {"stdout": done.stdout, "stderr": done.stderr} | _files(directory / "out")


def run_action(base: str, directory: Path, pairs: Pairs) -> dict[str, bytes]:
    """The same by the action, with debug logging and a monitor that is not there; its masks are taken out of the log."""
    (directory / ".github").mkdir()
    (directory / ".github/sse-check.yml").write_text(scenario_of(pairs))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "INPUT_"))} | {
        "PYTHONPATH": str(ROOT),
        "GITHUB_ACTIONS": "true",
        "RUNNER_DEBUG": "1",
        "GITHUB_WORKSPACE": str(directory),
        "GITHUB_OUTPUT": str(directory / "output"),
        "GITHUB_STEP_SUMMARY": str(directory / "summary"),
        "INPUT_VARIABLES": f"BASE={with_user(base)}",
        "INPUT_SECRETS": f"API_KEY={KEY}\nDIGITS={DIGITS}",
        "INPUT_REPORT-DIR": "out",
        "SSE_CHECK_PUSHGATEWAY": f"http://me:{PASSWORD}@127.0.0.1:1",
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "entrypoint.py")], cwd=directory, env=env, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stdout.decode()[-2000:] + done.stderr.decode()
    log = b"\n".join(line for line in done.stdout.splitlines() if not line.startswith(b"::add-mask::"))
    left = {
        "log": log,
        "stderr": done.stderr,
        "output": (directory / "output").read_bytes(),
        "summary": (directory / "summary").read_bytes(),
    }
    return left | _files(directory / "out")


def _files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def leaks(left: dict[str, bytes]) -> list[str]:
    """Where a secret, or its first part, can be read: as it is, or by undoing what encoders do."""
    wanted = [secret[:_FIRST_PART].lower() for secret in ALL]
    return [f"{secret!r} in {name}" for name, raw in left.items() for text in _readings(raw) for secret in wanted if secret in text]


def _readings(raw: bytes) -> Iterator[str]:
    """All that a text can be read as, in lower case."""
    text = raw.decode("utf-8", "replace")
    for read in (text, unquote(text), unquote(unquote(text)), html.unescape(text), quopri.decodestring(raw).decode("utf-8", "replace")):
        yield read.lower()
    escapes = re.sub(r"\\+(?:u00|x)([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), text)
    yield escapes.replace("\\/", "/").replace('\\"', '"').lower()
    for run in re.findall(r"[A-Za-z0-9+/_-]{11,}", text):
        standard = run.replace("-", "+").replace("_", "/")
        for skip in range(4):
            part = standard[skip:]
            yield base64.b64decode(part[: len(part) // 4 * 4]).decode("latin-1").lower()
    for run in re.findall(r"(?:[0-9a-f]{2}){8,}", text.lower()):
        yield from (bytes.fromhex(run[skip : skip + (len(run) - skip) // 2 * 2]).decode("latin-1").lower() for skip in (0, 1))
