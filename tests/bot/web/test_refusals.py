"""Refusals are counted and logged; whoever is refused too often is not heard for a while, and memory is bounded."""

from __future__ import annotations

import pytest
import structlog.testing

from bot.web import refusals
from bot.web.refusals import KEPT_MAX, REFUSALS_MAX, WINDOW_SECONDS, Refusals


class Ticking:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticking() -> Ticking:
    return Ticking()


def refused_often(count: Refusals, address: str, token: str = "") -> None:
    for _ in range(REFUSALS_MAX):
        assert count.wait_seconds(address, token) == 0
        count.refused(address, "wrong_token", token)


def test_an_address_that_was_refused_too_often_waits(ticking: Ticking) -> None:
    count = Refusals(ticking)
    refused_often(count, "192.0.2.1")
    ticking.now += 20
    assert count.wait_seconds("192.0.2.1") == WINDOW_SECONDS - 20
    assert count.wait_seconds("192.0.2.2") == 0
    ticking.now += WINDOW_SECONDS - 20
    assert count.wait_seconds("192.0.2.1") == 0


def test_a_guess_is_not_heard_even_if_it_is_right(ticking: Ticking) -> None:
    count = Refusals(ticking)
    refused_often(count, "192.0.2.1")
    assert count.wait_seconds("192.0.2.1", "ci") > 0


def test_a_colleague_behind_the_same_address_is_not_locked_out(ticking: Ticking) -> None:
    count = Refusals(ticking)
    count.accepted("192.0.2.1", "ci")
    refused_often(count, "192.0.2.1")
    assert count.wait_seconds("192.0.2.1", "ci") == 0
    assert count.wait_seconds("192.0.2.1", "ana") > 0
    assert count.wait_seconds("192.0.2.2", "ana") == 0


def test_a_token_is_counted_wherever_it_is_used(ticking: Ticking) -> None:
    count = Refusals(ticking)
    for number in range(REFUSALS_MAX):
        count.refused(f"192.0.2.{number}", "scope", "ci")
    assert count.wait_seconds("198.51.100.1", "ci") == WINDOW_SECONDS
    assert count.wait_seconds("192.0.2.1", "ana") == 0
    assert count.wait_seconds("192.0.2.1") == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("unknown", "unknown", True),
    ],
)
def test_nobody_escapes_within_their_own_network(one: str, other: str, same: bool, ticking: Ticking) -> None:
    count = Refusals(ticking)
    refused_often(count, one)
    assert (count.wait_seconds(other) > 0) == same


def test_each_is_a_line_until_there_are_too_many(ticking: Ticking) -> None:
    count = Refusals(ticking)
    with structlog.testing.capture_logs() as logs:
        for _ in range(REFUSALS_MAX * 2):
            count.refused("192.0.2.1", "wrong_token")
    assert [line["reason"] for line in logs] == ["wrong_token"] * REFUSALS_MAX + ["too_many"]
    assert {(line["event"], line["address"], line["token"]) for line in logs} == {("api_refused", "192.0.2.1", "")}


def test_what_is_kept_is_bounded(ticking: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEPT_MAX <= 100_000
    monkeypatch.setattr(refusals, "KEPT_MAX", 10)
    count = Refusals(ticking)
    for number in range(100):
        count.refused(f"192.0.2.{number}", "no_token")
        count.accepted(f"192.0.2.{number}", "ci")
    assert len(count._counts) == len(count._accepted) == 10
