"""How people may write a name so that it counts as named, and what it costs to look."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import pytest

from agent import spelling
from agent.spelling import Words


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("backend", "deploy the backend"),
        ("backend", "Deploy the BACKEND, please"),
        ("backend", "the back-end please"),
        ("backend", "the back end please"),
        ("backend", "bakcend to staging"),
        ("orders", "depoly odrers v1.1.0"),
        ("frontend", "the fronted"),
        ("production", "to prod"),
        ("production", "auf die Produktion bitte"),
        ("production", "para produção"),
        ("staging", "stag is fine"),
        ("staging", "Ｓｔａｇｉｎｇ"),
        ("staging", "𝐬𝐭𝐚𝐠𝐢𝐧𝐠"),
        ("dev", "to development"),
        ("lab", "labにデプロイしてください"),
        ("eu", "to the EU"),
        ("pay-api", "the pay api"),
        ("pay-api", "the pay_api"),
        ("pay-api", "payapi"),
        ("the old shop", "deploy the old shop"),
        ("バックエンド", "バックエンドをデプロイして"),
        ("バックエンド", "ﾊﾞｯｸｴﾝﾄﾞをデプロイして"),
        ("Bücher", "deploy bucher"),
    ],
)
def test_these_words_name_it(name: str, text: str) -> None:
    assert Words.of([text]).have(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("backend", "merci"),
        ("backend", "deploy it"),
        ("backend", ""),
        ("backend", "🎉🙏👍"),
        ("frontend", "the backend"),
        ("eu", "your europe"),
        ("lab", "the lap"),
        ("live", "that is life"),
        ("pay-api", "the api"),
        ("バックエンド", "フロントをデプロイして"),
        ("バックエンド", "the backend"),
    ],
)
def test_these_do_not(name: str, text: str) -> None:
    assert not Words.of([text]).have(name)


@pytest.mark.parametrize(
    ("revision", "text", "is_there"),
    [
        ("v1.2.0", "deploy v1.2.0 to production", True),
        ("v1.2.0", "deploy V1.2.0.", True),
        ("v1.2.0", "deploy v1.2.0.1", False),
        ("v1.2.0", "deploy v1.2.0-rc1", False),
        ("8da8a06", "deploy 8da8a06f1c2b", True),
        ("8da8a06", "deploy x8da8a06", False),
        ("v1", "deploy v12", False),
        (".*", "deploy anything", False),
        ("", "deploy anything", False),
    ],
)
def test_a_revision_must_stand_there_letter_by_letter(revision: str, text: str, is_there: bool) -> None:
    assert Words.of([text]).have_exactly(revision) is is_there


def test_of_endless_words_the_newest_are_looked_at() -> None:
    long = "blah " * spelling.CHARS_MAX
    assert Words.of([f"the backend {long}"]).have("backend")
    assert Words.of(["the backend", long]).have("backend")
    assert not Words.of([long, "the backend"]).have("backend")
    assert sum(map(len, Words.of([long, long]).texts)) == spelling.CHARS_MAX


def test_a_million_different_words_are_not_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    class Counting(SequenceMatcher[str]):
        def set_seq1(self, a: Sequence[str]) -> None:
            compared.append(a)
            super().set_seq1(a)

    monkeypatch.setattr("agent.spelling.SequenceMatcher", Counting)
    assert not Words.of([" ".join(f"{number:07}" for number in range(1_000_000))]).have("backend")
    assert 0 < len([word for word in compared if word]) <= spelling.WORDS_COMPARED_MAX
