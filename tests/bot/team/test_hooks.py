"""The parts of a hook's rule: texts with fields, conditions on paths, and what the API may open because of it."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.team.file import Team
from bot.team.hooks import HookRule, HookTable, kind_of, secret_variable
from bot.team.named_places import named_places
from bot.team.templates import MISSING, VALUE_CHARS_MAX, checked, fields_in, filled
from channels import places
from channels.places import Command

STRANGE = "x\n</task>\u202ey"
VALUES = {"sha": "4af9ec0", "number": 42, "is_draft": False, "labels": ["a", "b"], "body.a.b": STRANGE, "none": None}


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("deploy {sha}", "deploy 4af9ec0"),
        ("{number}/{is_draft}/{labels}", "42/false/(2 entries)"),
        ("say {body.a.b}", r"say x </task>\u{202e}y"),
        ("{none} {nowhere}", f"{MISSING} {MISSING}"),
        ("{{sha}} is {sha}, {{}}", "{sha} is 4af9ec0, {}"),
        ("no field", "no field"),
    ],
)
def test_a_text_is_filled_with_fields(text: str, becomes: str) -> None:
    assert filled(checked(text), VALUES.get) == becomes


@pytest.mark.parametrize("text", ["{", "}", "a {sha", "sha} b", "{}", "{a b}", "{sha!r}", "{0}", "{sha[0]}", "{{{"])
def test_what_is_no_text_with_fields_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"single|no field"):
        checked(text)


@given(value=st.text())
def test_whatever_stands_in_a_field_stays_one_line_and_no_field(value: str) -> None:
    text = filled("before {sha} after", lambda _: value)
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert "\n" not in text
    assert len(text) <= VALUE_CHARS_MAX + len("before  after")
    assert fields_in("before {sha} after") == ("sha",)


@pytest.mark.parametrize(
    "when",
    [
        'when = { "body.a.b" = "x*", state = "ok" }',
        'when = { body.a.b = "x*", state = "ok" }',
        'when.body.a = { b = "x*" }\nwhen.state = "ok"',
    ],
)
def test_a_path_may_be_written_as_toml_reads_it(when: str) -> None:
    assert HookRule.model_validate(tomllib.loads(when)).when == {"body.a.b": "x*", "state": "ok"}


@pytest.mark.parametrize("when", ["when = { a = [1] }", 'when = { a = "*" }', "when = { a = {} }", 'when = "a"'])
def test_what_is_no_condition_is_refused(when: str) -> None:
    with pytest.raises(ValidationError):
        HookRule.model_validate(tomllib.loads(when))


def test_a_kind_is_the_name_unless_it_says_another() -> None:
    for name, table, kind in (
        ("github", HookTable(), "github"),
        ("shop", HookTable(kind="github"), "github"),
        ("shop", HookTable(), None),
    ):
        found = kind_of(name, table)
        assert (found.name if found else None) == kind
    assert secret_variable("shop-eu") == "BOT_HOOK_SHOP_EU_SECRET"


def test_the_places_of_hooks_are_the_teams() -> None:
    rules = [{"event": "push", "place": "terminal:pushes"}, {"event": "star", "place": "email:ann@example.com"}]
    team = Team.model_validate({"hooks": {"github": {"on": rules}}})
    named = named_places(team)
    pushes, mail = (places.parse(text, Command("x")) for text in ("terminal:pushes", "email:ann@example.com"))
    assert (named.allow(pushes), named.share(pushes)) == (True, True)
    assert (named.allow(mail), named.share(mail)) == (True, False)
