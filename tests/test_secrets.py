"""Secrets never leave, and nobody turns the machine on its own network: each case of the table of hostile runs, and the parts they rest on."""

import base64
import re

import pytest

from sse_check import github
from sse_check.errors import UsageError
from sse_check.github import inside_workspace
from sse_check.hosts import host_in, is_public, literal_address, why_never
from sse_check.redaction import Redactor, implied_secrets, named_texts
from sse_check.scenario import ScenarioError, load
from sse_check.sources import resolve_table, url_scenario
from tests.hostile.secrets import CASES, FORBIDDEN, Case

SECRET = "correct/horse+battery"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.attempt)
async def test_what_is_promised_holds(case: Case):
    """
    As in the table, which says what happened.
    """
    seen, held = await case.run()
    assert held, seen


# --- cuts ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(60 - len(SECRET), 61))
@pytest.mark.parametrize(
    "encode", [str, lambda s: base64.b64encode(s.encode()).decode(), lambda s: s.replace("/", "%2F")], ids=["plain", "Base64", "URL"]
)
def test_no_first_part_of_a_secret_remains_where_a_text_is_cut(at, encode):
    """
    Wherever the cut falls, by us or by whoever read the text, and whatever stands behind it.
    """
    redactor = Redactor([SECRET])
    text = "x" * at + encode(SECRET) + "y" * 1000
    for cleaned in (redactor.beginning(text, 60), redactor.beginning(text[:60], 60, cut=True)):
        assert set(cleaned) <= set("x*y")
        assert len(cleaned) <= 60


def test_many_secrets_before_a_cut_do_not_draw_a_part_of_one_into_sight():
    """
    Each that is replaced makes the text shorter.
    """
    redactor = Redactor([SECRET])
    assert set(redactor.beginning(SECRET * 40, 60)) == {"*"}


def test_what_is_no_secret_is_kept_up_to_the_limit():
    """
    A text that is cut by its limit alone keeps all of it.
    """
    assert Redactor([SECRET]).beginning("a" * 5000, 60) == "a" * 60
    assert Redactor().beginning("a" * 5000, 60) == "a" * 60


# --- what counts as a secret --------------------------------------------------------------------------------------------


def test_a_secret_of_digits_is_no_number_of_an_event():
    """
    Neither by itself nor within a longer one; short ones are counts, and stay.
    """
    redactor = Redactor(["4929123456781234", "12"])
    assert redactor.numbers([12, 4929123456781234, 1.5, None, 14929123456781234]) == [12, None, 1.5, None, None]


def test_the_password_of_basic_authentication_and_a_cookies_value_are_secrets_by_themselves():
    """
    A server that knows them may quote them alone.
    """
    basic = "Basic " + base64.b64encode(b"me:correct-horse").decode()
    found = implied_secrets([("Authorization", basic), ("Cookie", "sid=abcdefgh-1; theme=dark-mode-2")], [])
    assert {"correct-horse", "abcdefgh-1", "dark-mode-2"} <= set(found)


def test_the_fields_of_a_form_are_known_by_their_names():
    """
    As those of JSON are.
    """
    assert named_texts("user=me&password=correct%20horse") == [("user", "me"), ("password", "correct horse")]


def test_a_url_that_is_wrong_is_told_without_its_password():
    """
    On the command line and in the action's log.
    """
    for url in (
        "htp://me:correct-horse@a.test/",
        "me:correct-horse@a.test",
        "http://me:correct-horse@a b.test/",
        "http://me:correct-horse@/",
    ):
        with pytest.raises(UsageError) as told:
            url_scenario(url)
        assert "horse" not in str(told.value)


def test_a_secret_in_the_wrong_place_is_quoted_by_no_mistake():
    """
    The reader of a scenario says what is wrong without it.
    """
    from sse_check.scenario import Variables

    variables = Variables(values={"KEY": SECRET}, secrets=frozenset({"KEY"}))
    for line in (
        "criteria: {first_event: '${KEY}'}",
        "target: {url: 'http://${KEY}'}",
        "budget: '${KEY}'",
        "probes: [{name: a, method: '${KEY}'}]",
    ):
        with pytest.raises(ScenarioError) as told:
            load(f"version: 1\n{line}\n".encode(), file="s.yml", variables=variables)
        assert "horse" not in str(told.value)


def test_masks_are_printed_for_what_is_long_enough(capsys: pytest.CaptureFixture[str]):
    """
    The runner would hide `true` in every later log, and drop the outputs that a gate reads.
    """
    import sys

    github.mask(["true", "1", "correct horse", "line one\nline two"], sys.stdout)
    told = re.findall(r"::add-mask::(.*)", capsys.readouterr().out)
    assert told == ["correct horse", "line one%0Aline two", "line one", "line two"]


# --- hosts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["1.2.3.4.5", "256.1.1.1", "08.1.1.1", "1.2.3.0xg", "4294967296", "a.test.1"])
def test_what_ends_in_a_number_and_is_no_address_is_no_host(host):
    """
    As browsers have it (URL Standard, "ends in a number checker").
    """
    try:
        assert literal_address(host) is None
    except ValueError:
        with pytest.raises(ValueError, match=r"number|literal"):
            host_in(f"http://{host}/")


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "[::1]", "[fd12::1]", "172.17.0.1", "app", "localhost", "8.8.8.8", "0.0.0.0"])
def test_private_networks_and_this_machine_may_be_asked(host):
    """
    Where a scenario names them: services, runners of one's own.
    """
    assert why_never(host_in(f"http://{host}/")) is None


def test_a_public_address_is_told_from_others():
    """
    Also where one of IPv4 is within one of IPv6.
    """
    assert all(map(is_public, ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")))
    assert not any(
        map(is_public, ("10.0.0.1", "127.0.0.1", "::1", "fe80::1%eth0", "::ffff:10.0.0.1", "64:ff9b::a00:1", "100.64.0.1", "name"))
    )


@pytest.mark.parametrize("address", ["169.254.169.254", "[fd00:ec2::254]", "192.0.2.7,168.63.129.16"])
def test_no_name_is_led_to_a_metadata_service_by_the_command_line(address):
    """
    --resolve and target.resolve are mistakes, before anything is sent.
    """
    with pytest.raises(UsageError, match="never asked"):
        resolve_table([f"app.test:443:{address}"])
    named = address.strip("[]")
    with pytest.raises(ScenarioError, match="never asked"):
        load(
            f"version: 1\ntarget: {{url: 'https://a.test', resolve: {{a.test: '{named}'}}}}\nprobes: [{{name: a, path: /}}]\n".encode(),
            file="s",
        )


def test_a_url_of_a_metadata_service_is_a_usage_error():
    """
    In every notation.
    """
    for host in FORBIDDEN:
        with pytest.raises(UsageError, match="never asked"):
            url_scenario(f"http://{host}/")


# --- files --------------------------------------------------------------------------------------------------------------


def test_an_input_names_no_file_where_a_checkout_leaves_credentials(tmp_path):
    """
    Neither by its path nor by a link.
    """
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").write_text("token")
    (tmp_path / "link.yml").symlink_to(".git/config")
    for name in (".git/config", "link.yml"):
        with pytest.raises(UsageError, match=r"lies in \.git"):
            inside_workspace(tmp_path, name, "scenario")
