"""Secrets out of everything that is kept."""

import base64
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_check.redaction import Redactor, implied_secrets

SECRET = "s3cr3t/k+y= ümläut?&"


def encoded_at(shift: int, secret: str, *, after: str = "tail") -> str:
    """Base64 of a text in which the secret begins `shift` bytes after a multiple of three."""
    return base64.b64encode(b"user: "[: 3 + shift] + secret.encode() + after.encode()).decode()


# --- by value -------------------------------------------------------------------------------------------------------


def test_a_secret_is_removed_wherever_it_stands() -> None:
    """By value, as often as it comes, whatever stands around it."""
    assert Redactor([SECRET]).text(f"a{SECRET}b {SECRET}") == "a***b ***"


@pytest.mark.parametrize("encode", [lambda s: quote(s, safe=""), quote, quote_plus], ids=["all", "but slashes", "a form's"])
def test_a_url_encoded_secret_is_removed(encode: Callable[[str], str]) -> None:
    """Percent-encoded as a component, as a path and as a form's field."""
    assert Redactor([SECRET]).text(f"/x?k={encode(SECRET)}&l=1") == "/x?k=***&l=1"


def test_the_case_of_percent_encoding_does_not_matter() -> None:
    """%2f says what %2F says (RFC 3986, 2.1), and servers write either."""
    lower = quote(SECRET, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d")

    assert "s3cr3t" not in Redactor([SECRET]).text(f"/x?k={lower}")


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("after", ["", "t", "ta", "tail"])
@pytest.mark.parametrize("secret", ["correct-horse", "correct-horses", "correct-horse-b", "\xfb\xff\xfe\xfb\xff\xfe\xfb"])
@pytest.mark.parametrize("alphabet", ["+/", "-_"], ids=["standard", "for URLs"])
def test_a_secret_inside_base64_is_removed(secret: str, alphabet: str, shift: int, after: str) -> None:
    """At each of the three alignments, in both alphabets, whatever stands before and after it: Basic authentication is such."""
    encoded = encoded_at(shift, secret, after=after).translate(str.maketrans("+/", alphabet))
    cleaned = Redactor([secret]).text(f"Basic {encoded} end")

    assert cleaned.startswith("Basic ")
    assert cleaned.endswith(" end")
    assert "***" in cleaned
    # What is left of it cannot be read back: at most the characters shared with the neighbours remain.
    head, _, tail = cleaned.removeprefix("Basic ").removesuffix(" end").partition("***")
    assert len(head) <= (3 + shift) * 8 // 6 + 1
    assert len(tail) <= len(after) * 8 // 6 + 4


def test_what_merely_surrounds_a_secret_is_kept() -> None:
    """The user's name before a password in Basic authentication is no secret, and stays."""
    cleaned = Redactor(["correct-horse"]).text(base64.b64encode(b"use:correct-horse").decode())

    assert cleaned.startswith(base64.b64encode(b"use").decode())


def test_the_lines_of_a_secret_are_secrets() -> None:
    """A key of several lines is removed where its lines come one by one."""
    assert Redactor(["first-line\nsecond-line\nx"]).text("a second-line b first-line x") == "a *** b *** x"


def test_of_two_secrets_the_longer_goes_first() -> None:
    """A secret that contains another is removed whole."""
    assert Redactor(["abcdefgh", "abcdefgh-ijkl"]).text("abcdefgh-ijkl abcdefgh") == "*** ***"


def test_a_secret_may_be_any_bytes() -> None:
    """An environment may hold bytes that are no UTF-8: they are removed as they are, and percent-encoded."""
    redact = Redactor(["key-\udcff-of-bytes"])

    assert redact.text("a key-\udcff-of-bytes and key-%FF-of-bytes") == "a *** and ***"


def test_a_secret_is_no_pattern() -> None:
    """Signs that mean something to regular expressions are taken literally."""
    assert Redactor([".*(a|b)[c]$"]).text("all.*(a|b)[c]$ this") == "all*** this"


@pytest.mark.parametrize("secrets", [(), ("",)])
def test_without_secrets_nothing_changes(secrets: tuple[str, ...]) -> None:
    """No secret, or an empty one, removes nothing."""
    assert Redactor(secrets).text("anything at all") == "anything at all"


def test_the_encodings_of_a_short_secret_spoil_no_words() -> None:
    """A short secret is removed as it is; its encodings would hit ordinary words."""
    redact = Redactor(["abc"])

    assert redact.text("abc") == "***"
    assert redact.text(base64.b64encode(b"abc").decode()) == base64.b64encode(b"abc").decode()


@given(secret=st.text(min_size=1), before=st.text(), after=st.text())
def test_no_secret_survives_by_value(secret: str, before: str, after: str) -> None:
    """Whatever text a secret is, a cleaned text holds it no more than the sign that stands for it does."""
    cleaned = Redactor([secret]).text(before + secret + after)

    assert all(secret not in part for part in cleaned.split("***"))


# --- headers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "authorization",
        "Proxy-Authorization",
        "X-API-Key",
        "X-Api_Key",
        "ApiKey",
        "X-Auth-Token",
        "X-Access-Key",
        "X-Session-Id",
        "X-Client-Secret",
        "X-Amz-Security-Token",
        "X-Hub-Signature-256",
        "X-Password",
    ],
)
def test_a_header_named_like_a_secret_loses_its_value(name: str) -> None:
    """Nobody needs to declare an Authorization header secret."""
    assert Redactor().header(name, "Bearer abc") == "***"


@pytest.mark.parametrize("name", ["Content-Type", "Server", "Via", "X-Accel-Buffering", "Cache-Control", "Age", "X-Request-Id", "Author"])
def test_other_headers_keep_their_value(name: str) -> None:
    """What tells a proxy stays readable."""
    assert Redactor().header(name, "nginx, max-age=0") == "nginx, max-age=0"


def test_other_headers_lose_declared_secrets() -> None:
    """A declared secret is removed from every header."""
    assert Redactor(["correct-horse"]).header("Server", "nginx correct-horse") == "nginx ***"


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("Set-Cookie", "AWSALB=abc/d+e=; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Path=/", "AWSALB=***"),
        ("set-cookie", "__cf_bm=x.y-z; HttpOnly", "__cf_bm=***"),
        ("Cookie", "sid=abc; theme=dark", "sid=***; theme=***"),
        ("Cookie", "sid=a=b==; x=", "sid=***; x=***"),
        ("Set-Cookie", 'sid="quoted value"; Secure', "sid=***"),
    ],
)
def test_of_cookies_only_their_names_remain(name: str, value: str, kept: str) -> None:
    """The name tells the load balancer; the value is a credential."""
    assert Redactor().header(name, value) == kept


@pytest.mark.parametrize("name", ["Cookie", "Set-Cookie"])
@pytest.mark.parametrize("value", ["r4wt0ken", "=r4wt0ken", "sid =r4wt0ken", "a=1; r4wt0ken", " r4wt0ken ; Path=/"])
def test_a_cookie_without_a_proper_name_keeps_nothing(name: str, value: str) -> None:
    """Browsers take a cookie without a name, or with a blank before its sign, and its value is a credential all the same."""
    assert "r4wt0ken" not in Redactor().header(name, value)


# --- URLs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://user:hunter2@a.test:8443/x", "https://***@a.test:8443/x"),
        ("https://t0ken@a.test/x", "https://***@a.test/x"),
        ("https://us@er:p@ss@a.test/x", "https://***@a.test/x"),
        ("//user:hunter2@a.test/x", "//***@a.test/x"),
        ("https://a.test/x?token=abc&page=2", "https://a.test/x?token=***&page=2"),
        ("/x?page=2&api_key=abc&X-Amz-Signature=def&sig=g", "/x?page=2&api_key=***&X-Amz-Signature=***&sig=***"),
        ("https://a.test/x?token=", "https://a.test/x?token="),
        ("https://a.test/x?monkey=a&keys=b&design=c", "https://a.test/x?monkey=a&keys=b&design=c"),
        ("https://a.test/x#access_token=abc", "https://a.test/x"),
        ("https://a.test/user@home?q=a@b", "https://a.test/user@home?q=a@b"),
    ],
)
def test_a_url_keeps_what_is_no_credential(url: str, kept: str) -> None:
    """User information and the values of secret query keys go; host, path and the other keys stay."""
    assert Redactor().url(url) == kept


def test_a_url_loses_declared_secrets() -> None:
    """A declared secret is removed from a URL's path and query too, plain or encoded."""
    assert Redactor(["correct/horse"]).url("https://a.test/correct/horse?q=correct%2Fhorse") == "https://a.test/***?q=***"


@pytest.mark.parametrize("url", ["https://user:hunter2@[bad/x", "https://user:hunter2@[::1/x?q=1"])
def test_even_a_broken_url_loses_its_user_information(url: str) -> None:
    """What cannot be taken apart is not kept whole: a redirect's target may be anything."""
    assert "hunter2" not in Redactor().url(url)


def test_a_query_key_is_known_when_it_is_encoded() -> None:
    """%74oken is token to every server."""
    assert "abc" not in Redactor().url("https://a.test/x?%74oken=abc")


@given(st.text())
def test_any_text_may_be_given_as_a_url(url: str) -> None:
    """A server's Location header is any text; cleaning it raises nothing."""
    assert isinstance(Redactor(["correct-horse"]).url(url), str)


# --- secrets that nobody declared -----------------------------------------------------------------------------------


def test_credentials_nobody_declared_are_found() -> None:
    """Values of secret headers, with and without their scheme, of cookies, of secret query keys, and passwords in URLs."""
    headers = [
        ("Authorization", "Bearer abcdefgh-1"),
        ("X-API-Key", "abcdefgh-2"),
        ("Accept", "text/event-stream"),
        ("Cookie", "sid=abcdefgh"),
    ]
    urls = ["https://me:abcdefgh-3@a.test/x?token=abcdefgh-4&page=abcdefgh-5"]

    found = ["Bearer abcdefgh-1", "abcdefgh-1", "abcdefgh-2", "sid=abcdefgh", "abcdefgh", "abcdefgh-3", "abcdefgh-4"]
    assert implied_secrets(headers, urls) == found


def test_short_credentials_are_left_alone() -> None:
    """A value such as 1 or none, removed everywhere, would spoil the report."""
    assert implied_secrets([("X-API-Key", "none"), ("Authorization", "x 1")], ["https://me:abc@a.test/?key=12"]) == []


def test_a_token_in_the_place_of_a_user_is_found() -> None:
    """Where a URL has user information without a password, it is a token."""
    assert "abcdefgh-1" in implied_secrets([], ["https://abcdefgh-1@a.test/"])


def test_an_encoded_password_is_found_as_the_server_knows_it() -> None:
    """A password is percent-encoded in a URL only; what a server echoes is the password itself."""
    redact = Redactor(implied_secrets([], ["https://me:correct%40horse@a.test/"]))

    assert redact.text("correct@horse correct%40horse") == "*** ***"


def test_found_credentials_are_removed_where_a_server_echoes_them() -> None:
    """An error page that quotes the request's token is kept without it."""
    redact = Redactor(implied_secrets([("Authorization", "Bearer abcdefgh-1")], []))

    assert redact.text("bad token abcdefgh-1 in 'Bearer abcdefgh-1'") == "bad token *** in '***'"


def test_a_password_that_was_not_encoded_is_hidden_too() -> None:
    """A slash ends the host for every parser, so what stands before the last sign may all be the password."""
    assert Redactor().url("https://me:correct/horse@a.test/x?y") == "https://***"
