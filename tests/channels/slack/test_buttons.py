"""What a button carries is read back as it was written, also from buttons that stand in Slack for months."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.slack.buttons import ButtonValue, chosen_in, question_block_id

_text = st.text(max_size=20)
_values = st.builds(
    ButtonValue,
    st.text(min_size=1, max_size=20),
    st.text(min_size=1, max_size=20),
    digest=_text,
    answer=st.none() | _text,
    number=st.none() | st.integers(0, 100),
    channel=st.none() | _text,
    thread=st.none() | _text,
)


@given(_values)
def test_what_is_written_is_read(value: ButtonValue) -> None:
    assert ButtonValue.read(value.write()) == value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('{"t":"tabc","s":"s4","d":"0123456789abcdef"}', ButtonValue("tabc", "s4", "0123456789abcdef")),
        ('{"t":"tabc","s":"s4","a":"yes"}', ButtonValue("tabc", "s4", answer="yes")),
        ('{"t":"tabc","s":"s4","n":7}', ButtonValue("tabc", "s4", number=7)),
        ('{"t":"tabc","s":"s4","a":"\\u00fc"}', ButtonValue("tabc", "s4", answer="ü")),
        (
            '{"t":"tabc","s":"s4","d":"01234567","c":"C1","p":""}',
            ButtonValue("tabc", "s4", "01234567", channel="C1", thread=""),
        ),
    ],
)
def test_the_letters_on_buttons_do_not_change(written: str, value: ButtonValue) -> None:
    assert value.write() == written
    assert ButtonValue.read(written) == value


@pytest.mark.parametrize(
    "text", ["", "no", "[]", "{}", '{"t":"tabc"}', '{"t":"","s":"s4"}', '{"t":1,"s":2}', "[" * 5_000]
)
def test_what_is_none_of_ours_is_not_read(text: str) -> None:
    assert ButtonValue.read(text) is None


def test_a_choice_of_a_select_is_known_by_its_block() -> None:
    assert chosen_in(question_block_id("tabc", "s4"), 12) == ButtonValue("tabc", "s4", number=12)
    for block_id in ("", "tabc", "b/answer"):
        assert chosen_in(block_id, 1) is None
