"""No raw key comes to people, and no value is left out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from channels.labels import as_words, rows, used

identifiers = st.from_regex(r"[a-z][A-Za-z0-9_]{0,11}", fullmatch=True)
trees = st.recursive(
    st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(identifiers, inner, max_size=3),
    max_leaves=12,
)


def keys_in(value: Any) -> list[str]:
    match value:
        case dict():
            return [*value, *(key for inner in value.values() for key in keys_in(inner))]
        case list():
            return [key for inner in value for key in keys_in(inner)]
        case _:
            return []


def leaves(value: Any) -> list[Any]:
    match value:
        case dict() if value:
            return [leaf for inner in value.values() for leaf in leaves(inner)]
        case list() if value:
            return [leaf for inner in value for leaf in leaves(inner)]
        case _:
            return [repr(value)]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("notes_so_far", "notes so far"),
        ("issueId", "issue id"),
        ("URL", "URL"),
        ("sha", "sha"),
        ("__", "__"),
        ("src/app_1.py", "src/app_1.py"),
        ("a\n    sha", "a\n    sha"),
    ],
)
def test_a_key_without_a_label_is_read_as_words(key: str, words: str) -> None:
    assert as_words(key) == words


def test_the_labels_give_the_words_and_the_order() -> None:
    facts: dict[str, JsonValue] = {
        "running": {"sha": "b", "subject": "Old"},
        "adds": ["b"],
        "new": {"sha": "a"},
        "on_staging": True,
    }
    labels = {"new": "will run", "new.sha": "commit", "running": "runs now", "running.sha": "commit"}
    said = rows({"revision": "v1"}, facts, labels)
    assert [*said] == ["will run", "runs now", "revision", "adds", "on staging"]
    assert said["will run"] == {"commit": "a"}
    assert said["runs now"] == {"commit": "b", "subject": "Old"}
    assert used({**labels, "note": "careful"}, {"revision": "v1"}, facts) == labels


def test_of_two_values_that_would_have_one_label_neither_is_hidden() -> None:
    said = rows({"customer": "cus_1"}, {"customer": {"id": "cus_1"}, "a_b": 1, "a b": 2}, {})
    assert said == {"customer": "cus_1", "customer, looked up": {"id": "cus_1"}, "a b": 1, "a b, looked up": 2}


def test_an_instant_among_the_facts_is_said_in_the_one_format_and_an_argument_as_it_is() -> None:
    at = "2026-11-26T04:46:00Z"
    assert rows({"at": at}, {"since": at, "no": "2026-99-99T25:61:00Z"}, {}) == {
        "at": at,
        "since": "2026-11-26 04:46 UTC",
        "no": "2026-99-99T25:61:00Z",
    }


@given(
    st.dictionaries(identifiers, trees, max_size=5),
    st.dictionaries(identifiers, trees, max_size=5),
    st.dictionaries(identifiers, st.sampled_from(["commit", "runs now"]), max_size=4),
)
def test_no_raw_key_is_shown_and_every_value_is(arguments: Any, facts: Any, labels: dict[str, str]) -> None:
    said = rows(arguments, facts, labels)
    assert not [key for key in keys_in(said) if re.search(r"[a-z0-9]_+[A-Za-z0-9]|\.", key)]
    assert len(said) == len(arguments) + len(facts)
    assert sorted(leaves([*said.values()])) == sorted(leaves([*arguments.values(), *facts.values()]))
