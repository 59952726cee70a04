"""The record of the test of our mail server: for how long it holds, and when the next test is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from channels.email.identity.server_proof import RENEW_DAYS, VALID_DAYS, ServerProof
from channels.email.servers import imap_server
from store.memory import MemoryStore

BOT = "deploybot@team.example"
IMAP = imap_server("imap://bot:secret@127.0.0.1:143/INBOX")


class Time:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 27, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **how_long: float) -> None:
        self.now += timedelta(**how_long)


def proof_of(store: MemoryStore, time: Time, names: str = "mx.team.example") -> ServerProof:
    return ServerProof(store, IMAP, BOT, names, time)


async def test_a_proof_is_renewed_weekly_and_is_over_a_day_later() -> None:
    proof = proof_of(MemoryStore(), time := Time())
    await proof.passed(1)
    assert await proof.proven_until(1) == "2026-12-05 00:00 UTC"
    time.passes(days=RENEW_DAYS)
    assert (await proof.seconds_until_due(1), await proof.why_missing(1)) == (0, "")
    time.passes(days=VALID_DAYS - RENEW_DAYS, seconds=1)
    assert (await proof.why_missing(1)).startswith("The proof is old: the last test that passed was at 2026-11-27")
    assert await proof.proven_until(1) == ""


async def test_a_proof_from_a_clock_that_was_far_ahead_does_not_hold_for_ever() -> None:
    proof = proof_of(MemoryStore(), time := Time())
    time.passes(days=365)
    await proof.passed(1)
    time.passes(days=-365)
    assert await proof.why_missing(1)
    assert await proof.seconds_until_due(1) == 0


async def test_a_test_that_did_not_pass_is_made_again_more_and_more_rarely() -> None:
    proof = proof_of(MemoryStore(), time := Time())
    waits = []
    for _ in range(12):
        await proof.failed(1, "It is away.", disproves=False)
        waits.append(await proof.seconds_until_due(1))
        time.passes(seconds=waits[-1])
        assert await proof.seconds_until_due(1) == 0
    assert (waits[:3], waits[-1]) == ([10, 20, 40], 3600)
    assert "at 2026-11-27 03:" in await proof.why_missing(1)
    await proof.passed(1)
    assert await proof.why_missing(1) == ""


async def test_whoever_claims_a_test_has_it_for_a_while() -> None:
    store, time = MemoryStore(), Time()
    first, second = proof_of(store, time), proof_of(store, time)
    assert await first.claim(1)
    assert not await second.claim(1)
    await first.release(1)
    assert await second.claim(1)
    time.passes(hours=1)
    assert await first.claim(1), "the second one has died"
    await first.passed(1)
    assert not await second.claim(1)


async def test_what_was_proven_of_other_names_or_of_another_mailbox_proves_nothing() -> None:
    store, time = MemoryStore(), Time()
    await proof_of(store, time, "mx.team.example, *.hoster.example").passed(1)
    assert await proof_of(store, time, "*.HOSTER.example mx.team.example").why_missing(1) == ""
    assert await proof_of(store, time, "mx.team.example").why_missing(1)
    assert await proof_of(store, time, "mx.team.example, *.hoster.example").why_missing(2)


async def test_a_record_that_cannot_be_read_proves_nothing() -> None:
    for text in ("yes", "[]", '{"proven_at": 1e12}', '{"claim": 3, "more": 1}'):
        store = MemoryStore()
        await store.set_note(f"email/{IMAP.user}@{IMAP.where}/INBOX proof", text, expected="")
        proof = proof_of(store, Time())
        assert await proof.why_missing(1)
        await proof.passed(1)
        assert await proof.why_missing(1) == ""
