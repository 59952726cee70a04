"""Text from outside, made safe to look at."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.text import call_in_words, one_line, visible


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("push\u202ev3", "push\\u{202e}v3"),
        ("push\u200bv3", "push\\u{200b}v3"),
        ("\x1b[2Jpush", "\\u{1b}[2Jpush"),
        ("push\rpull", "push\\u{d}pull"),
        ("\ufeffpush", "\\u{feff}push"),
        ("push\u2028v3", "push\\u{2028}v3"),
        ("push\U000e0041", "push\\u{e0041}"),
        ("push\U000e0101", "push\\u{e0101}"),
        ("push\u3164v3", "push\\u{3164}v3"),
        ("push\ud800", "push\\u{d800}"),
        ("push\u2800v3", "push\\u{2800}v3"),
        ("push\ufe00", "push\\u{fe00}"),
        ("v1.0\ufe0f", "v1.0\\u{fe0f}"),
        ("\U0001f680\ufe0f", "\U0001f680\\u{fe0f}"),
        ("\u2764\ufe0f\ufe0f", "\u2764\ufe0f\\u{fe0f}"),
        ("1\ufe0f2", "1\\u{fe0f}2"),
        ("\u180b\u180f", "\\u{180b}\\u{180f}"),
        ("push\U0001d159", "push\\u{1d159}"),
        ("push\ufffc", "push\\u{fffc}"),
        ("push\ue000\U000f0000", "push\\u{e000}\\u{f0000}"),
    ],
)
def test_what_hides_or_reorders_is_written_out(hidden: str, shown: str) -> None:
    assert visible(hidden) == shown


@pytest.mark.parametrize("text", ["push v3\n\tnow", "größer, 東京, שלום", "❤️ 👍🏽 1️⃣ ⚠️", "\ufffd", "e\u0301"])
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_line_ends_of_mail_are_line_ends() -> None:
    assert visible("one\r\ntwo\r\n") == "one\ntwo\n"


@given(st.text(st.characters()))
def test_no_control_or_format_character_is_left(text: str) -> None:
    left = {unicodedata.category(char) for char in visible(text) if char not in "\n\t"}
    assert left.isdisjoint({"Cc", "Co", "Cs", "Zl", "Zp"})
    assert visible(visible(text)) == visible(text)


@given(st.text(), st.integers(1, 40))
def test_one_line_is_one_line_and_not_longer_than_asked(text: str, chars_max: int) -> None:
    line = one_line(text, chars_max)
    assert len(line) <= chars_max
    assert line.splitlines() in ([], [line])


def test_what_is_clipped_says_so() -> None:
    assert one_line("push the\n  newest tag", 12) == "push the ne…"
    assert one_line("push v3", 7) == "push v3"


def test_a_call_names_what_is_nested_by_its_path() -> None:
    arguments = {"component": "shop", "waiver": {"message": "m2", "words": "skip the lab"}, "dry": False}
    assert call_in_words("deploy", arguments) == (
        "deploy component=shop waiver.message=m2 waiver.words=skip the lab dry=False"
    )
