"""Whether a condition of a rule holds for a value: yes, no, or that it cannot be told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.team.conditions import FLOAT_MAX, all_hold, as_condition, excludes, holds, implies


@pytest.mark.parametrize(
    ("condition", "value", "answer"),
    [
        ("prod", "prod", True),
        ("prod", "staging", False),
        ("prod", "prod-eu", False),
        ("prod*", "prod-eu", True),
        ("*-eu", "prod-eu", True),
        ("prod-?", "prod-eu", False),
        ("[ps]*", "staging", True),
        ("prod", None, None),
        ("prod*", ["prod"], None),
        ("prod*", True, None),
        ("3", 3, None),
        (True, True, True),
        (True, False, False),
        (True, 1, None),
        (False, None, None),
        (3, 3, True),
        (3, 3.0, True),
        (3, 4, False),
        (3, True, None),
        (3, "three", None),
        (0.1, 0.1, True),
        ("<=10000", 10_000, True),
        ("<=10000", 10_000.01, False),
        ("<=10000", Decimal("10000.00"), True),
        ("<=1000", Decimal("1E+5"), False),
        (">1000", Decimal("1E+999999"), True),
        (">1000", Decimal("99999999999999999.5"), True),
        (">1000", 99_999_999_999_999_999, True),
        ("<=99999999999999999", 99_999_999_999_999_998, True),
        ("<=99999999999999999", 10**400, False),
        ("<=0.1", 0.1, True),
        ("< 5", 5, False),
        ("<5", 4.999, True),
        (">=-2.5", -2.5, True),
        (">5", 5, False),
        (">5", 6, True),
    ],
)
def test_a_condition_holds_or_does_not(condition: Any, value: Any, answer: bool | None) -> None:
    assert holds(condition, value) is answer


@pytest.mark.parametrize(
    "value",
    [
        *(
            None,
            "",
            "much",
            "1e3",
            "5",
            " 5",
            "5\n",
            True,
            [5],
            {"amount": 5},
            float("nan"),
            float("inf"),
            -float("inf"),
        ),
        *(2.0 * FLOAT_MAX, "9" * 16, "\N{ARABIC-INDIC DIGIT FIVE}"),
        *(Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), -Decimal("Infinity")),
    ],
)
@pytest.mark.parametrize("condition", ["<=10000", "<10000", ">=0", ">0", 5])
def test_what_cannot_be_compared_is_neither_more_nor_less(condition: Any, value: Any) -> None:
    assert holds(condition, value) is None


@pytest.mark.parametrize("condition", ["payments", "p?yments", "p*yments", "[p]ay[m]ents"])
@pytest.mark.parametrize(
    "value",
    [
        *(
            "PAYMENTS",
            " payments",
            "payme\N{ZERO WIDTH SPACE}nts",
            "\N{ZERO WIDTH NO-BREAK SPACE}payments",
        ),
        *(
            "p\N{CYRILLIC SMALL LETTER A}yment\N{CYRILLIC SMALL LETTER DZE}",
            "\N{FULLWIDTH LATIN SMALL LETTER P}ayments",
            "paym\xe9nts",
        ),
        *("payment\N{LATIN SMALL LETTER LONG S}", "paymen\x00ts", "\N{GREEK SMALL LETTER RHO}ayments"),
    ],
)
def test_what_is_written_in_another_way_is_neither_it_nor_another(condition: str, value: str) -> None:
    """Found: a rule about `payments` passed over `Payments`, and over one with a Cyrillic letter."""
    assert holds(condition, value) is None


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        *(
            ("petty cash", "M\xfcller GmbH"),
            ("petty cash", "\u041c\u044e\u043b\u043b\u0435\u0440"),
            ("pay*", "M\xfcller"),
        ),
        *(("k\xf6ln", "bern"), ("\u043a\u0430\u0437\u043d\u0430", "\u0431\u0430\u043d\u043a\u0430")),
        *(("prod-eu", "prod_eu"), ("v1", "vl"), ("payments", ""), ("pay*", "")),
    ],
)
def test_what_is_another_text_for_certain_is_another(condition: str, value: str) -> None:
    assert holds(condition, value) is False


def test_what_a_rule_says_in_other_letters_is_compared_too() -> None:
    assert holds("k\xf6ln", "k\xf6ln") is True
    assert holds("k\xf6ln", "koln") is None
    assert holds("\u043a\u0430\u0437\u043d\u0430", "\u043aa\u0437\u043d\u0430") is None
    assert holds("pr\N{HYPHEN}od", "pr-od") is None
    assert holds("prod-eu", "prod\N{HYPHEN}eu") is None


def test_one_condition_that_does_not_hold_is_enough() -> None:
    when = {"environment": "prod", "amount": "<=5"}
    assert all_hold(when, {"environment": "prod", "amount": 5}) is True
    assert all_hold(when, {"environment": "prod", "amount": None}) is None
    assert all_hold(when, {"environment": "dev", "amount": None}) is False
    assert all_hold({}, {}) is True


@pytest.mark.parametrize(
    ("text", "kind", "condition"),
    [
        *(("prod*", "text", "prod*"), ("3", "text", "3"), ("3", "number", 3), ("3.5", "number", 3.5)),
        *(("<=3", "number", "<=3"), ("true", "truth", True), ("false", "truth", False), ("true", "text", "true")),
    ],
)
def test_a_condition_is_read_from_text(text: str, kind: Any, condition: Any) -> None:
    found = as_condition(text, kind)
    assert (found, type(found)) == (condition, type(condition))


@pytest.mark.parametrize("text", ["*", "**", "", "<ten", "<=", ">1e5", "[!p]*"])
def test_a_condition_that_says_nothing_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"restricts nothing|compare with a number|must say which values"):
        as_condition(text, "text")


# What follows from what


TEXTS = st.text("ab-", max_size=4)
PATTERNS = st.text("ab-*?", min_size=1, max_size=4).filter(lambda text: text.strip("*"))
NUMBERS = st.integers(-3, 3)
COMPARISONS = st.builds("{}{}".format, st.sampled_from(["<", "<=", ">", ">="]), NUMBERS)
CONDITIONS = st.one_of(PATTERNS, NUMBERS, COMPARISONS, st.booleans())
VALUES = st.one_of(TEXTS, NUMBERS, NUMBERS.map(lambda n: n + 0.5), st.booleans(), st.none(), NUMBERS.map(str))


@given(CONDITIONS, CONDITIONS, VALUES)
def test_what_is_sure_is_true_for_every_value(one: Any, other: Any, value: Any) -> None:
    if implies(one, other) and holds(one, value):
        assert holds(other, value) is True
    if excludes(one, other) and holds(one, value):
        assert holds(other, value) is not True


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        *(("prod-eu", "prod*"), ("prod-*", "prod*"), ("*-eu", "*eu"), ("<5", "<=5"), ("<=4", "<5"), (">5", ">=5")),
        *((4, "<=5"), (3, 3.0), (True, True), ("a?", "a*")),
    ],
)
def test_what_is_narrower_is_found(narrow: Any, wide: Any) -> None:
    assert implies(narrow, wide)


@pytest.mark.parametrize(("wide", "narrow"), [("<=5", "<5"), (">=5", ">5"), ("<=6", "<=5"), (">5", "<5"), ("5*", "<5")])
def test_what_is_wider_or_elsewhere_is_not_narrower(wide: Any, narrow: Any) -> None:
    assert not implies(wide, narrow)


@pytest.mark.parametrize(
    ("one", "other"),
    [("prod", "dev"), ("prod*", "dev*"), ("prod*", "dev"), ("<5", ">=5"), ("<=5", ">5"), (">6", "<=5"), (True, False)],
)
def test_what_never_meets_is_found(one: Any, other: Any) -> None:
    assert excludes(one, other)
    assert excludes(other, one)


def test_up_to_a_size_each_whole_number_is_told_from_the_next() -> None:
    assert [holds(f">={FLOAT_MAX}", value) for value in (float(FLOAT_MAX), FLOAT_MAX + 0.5)] == [True, None]


@pytest.mark.parametrize(("one", "other"), [("<=5", ">=5"), ("<6", ">5"), ("<5", "<4"), ("prod*", "prod-eu*")])
def test_what_may_meet_is_not_taken_apart(one: Any, other: Any) -> None:
    assert not excludes(one, other)
    assert not excludes(other, one)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_numbers_are_compared_as_they_are_written(value: float, bound: float) -> None:
    text = f"{Decimal(repr(round(bound, 6))):f}"
    assert holds(f"<={text}", value) == (Decimal(repr(value)) <= Decimal(text))
