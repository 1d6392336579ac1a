"""Times and shares as people write them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_check.units import DURATION_PATTERN, PERCENT_PATTERN, format_duration, format_measured, parse_duration, parse_percent


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("25s", 25.0),
        ("2m", 120.0),
        ("1.5m", 90.0),
        ("0s", 0.0),
        ("0.5s", 0.5),
        ("24h", 86400.0),
        (" 1s ", 1.0),
        ("007s", 7.0),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    """ms, s, m and h, with or without a fraction."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("25", '"25" is not a duration. Write 25s or 25ms.'),
        ("2 secs", '"2 secs" is not a duration. Write 2s or 2ms.'),
        ("1.5", '"1.5" is not a duration. Write 1.5s or 1.5ms.'),
        ("", '"" is not a duration. Write 25s, 250ms or 2m.'),
        ("soon", '"soon" is not a duration. Write 25s, 250ms or 2m.'),
        ("-1s", '"-1s" is not a duration. Write 25s, 250ms or 2m.'),
        ("25h", '"25h" is too long. The longest duration is 24h.'),
        ("9" * 400 + "s", f'"{"9" * 400}s" is too long. The longest duration is 24h.'),
    ],
)
def test_what_is_no_duration_is_told_with_what_would_be_one(text: str, message: str) -> None:
    """The message quotes the text and writes the likeliest duration."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text", ["1e3s", "1_000s", "٣s", "\uff15s", "+1s", ".5s", "1.s", "1 s", "1S", "1d", "1s 2ms", "1s\n2s", "inf s", "nans"]
)
def test_a_duration_is_nothing_cleverer(text: str) -> None:
    """No exponents, signs, other digits, sums or capitals."""
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "percent"), [("90%", 90.0), ("90", 90.0), ("99.5%", 99.5), ("0%", 0.0), ("100%", 100.0), (" 50% ", 50.0)])
def test_a_percentage_is_a_number_from_0_to_100(text: str, percent: float) -> None:
    """With or without its sign."""
    assert parse_percent(text) == percent


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("most", '"most" is not a percentage. Write 90% or 90.'),
        ("-1%", '"-1%" is not a percentage. Write 90% or 90.'),
        ("90 %", '"90 %" is not a percentage. Write 90% or 90.'),
        ("90%%", '"90%%" is not a percentage. Write 90% or 90.'),
        ("９０", '"９０" is not a percentage. Write 90% or 90.'),
        ("100.1%", '"100.1%" is more than all. Write a percentage from 0% to 100%.'),
    ],
)
def test_what_is_no_percentage_is_told_with_what_would_be_one(text: str, message: str) -> None:
    """The message quotes the text and writes a percentage."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_percent(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "250ms"),
        (25.0, "25s"),
        (0.0004, "0.4ms"),
        (0.0, "0ms"),
        (1.0, "1s"),
        (1.2345, "1.234s"),
        (12.345, "12.3s"),
        (90.0, "90s"),
        (119.0, "119s"),
        (120.0, "2m"),
        (600.0, "10m"),
        (5400.0, "90m"),
        (-0.05, "-50ms"),
    ],
)
def test_a_duration_is_shown_as_a_person_would_write_it(seconds: float, text: str) -> None:
    """Milliseconds below one second, minutes from two on, and no more digits than mean something."""
    assert format_duration(seconds) == text


@given(st.floats(0.001, 86400))
def test_a_shown_duration_reads_back_as_nearly_the_same(seconds: float) -> None:
    """What is shown is a duration itself, within a hundredth of what was meant."""
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=0.01)


@given(st.one_of(st.text(max_size=12), st.from_regex(DURATION_PATTERN, fullmatch=True), st.from_regex(PERCENT_PATTERN, fullmatch=True)))
def test_the_patterns_and_the_readers_agree(text: str) -> None:
    """What the readers take is what the JSON Schema's patterns allow, but for blanks around it and the greatest values."""
    for pattern, parse, most in ((DURATION_PATTERN, parse_duration, "too long"), (PERCENT_PATTERN, parse_percent, "more than all")):
        refused = ""
        try:
            parse(text)
        except ValueError as error:
            refused = str(error)
        assert (most in refused or not refused) == bool(re.fullmatch(pattern, text.strip()))


@pytest.mark.parametrize(
    ("seconds", "error", "text"),
    [
        (0.3127, None, "313ms"),
        (0.3127, 0.0, "313ms"),
        (0.3127, 0.0001, "313ms ± 0.1ms"),
        (0.3127, 0.04, "310ms ± 40ms"),
        (12.345, 0.25, "12.3s ± 250ms"),
        (0.02, 0.5, "0ms ± 500ms"),
        (0.0, 0.001, "0ms ± 1ms"),
    ],
)
def test_a_measured_time_is_no_more_exact_than_its_error(seconds: float, error: float | None, text: str) -> None:
    """What is smaller than the first digit of the error is no news; the error itself stands beside."""
    assert format_measured(seconds, error) == text
