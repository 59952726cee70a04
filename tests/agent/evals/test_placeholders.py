"""What is replaced before anything of a thread becomes a case, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from agent.evals.placeholders import Known, Placeholders, secrets_in

OURS = Known(components=("payments", "web-shop"), environments=("staging", "production"))
SITE = Known(
    components=("orders", "checkout", "search"),
    environments=("lab", "preview", "live"),
    tags=("v1.1.0", "v1.0.0"),
    commits=("8da8a06" + "0" * 33, "ca05217" + "0" * 33),
)
GRACE = {"name": "Grace Hopper", "address": "U0GRACE123", "trust": "verified", "email": "grace@navy.example.mil"}


def hidden() -> Placeholders:
    found = Placeholders(OURS, SITE)
    found.meet([{"sender": GRACE}, {"by": {"name": "Bo", "address": "bo@corp.example", "trust": "unverified"}}])
    return found


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("Grace, ask bo@corp.example", "Ada, ask lin@example.com"),
        ("thanks GRACE HOPPER and Bo", "thanks Ada and Lin"),
        ("write to eve@else.example and eve@else.example", "write to someone1@example.com and someone1@example.com"),
        ("<@U0GRACE123> and <@U0OTHER999>", "<@Ada> and <@U000000001>"),
        ("https://git.corp.example/x?token=1, and more", "https://example.com/1 and more"),
        ("on 10.1.2.3", "on 192.0.2.1"),
        ("deploy payments v3.2.1 to production", "deploy orders v1.1.0 to live"),
        ("web-shop on staging, not website", "checkout on preview, not website"),
        ("4af9ec0 before b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0", "8da8a06 before ca05217" + "0" * 33),
        ("a decade of facades", "a decade of facades"),
    ],
)
def test_each_thing_becomes_its_placeholder(text: str, becomes: str) -> None:
    assert hidden().text(text) == becomes


def test_the_same_thing_is_the_same_everywhere() -> None:
    one = hidden()
    assert one.text("4af9ec0") == one.text("4af9ec0bd7b1")[:7] == "8da8a06"
    assert [one.text(text) for text in ("v3.2.1", "v3.2.0", "v3.2.1", "v0.9.0")] == [
        "v1.1.0",
        "v1.0.0",
        "v1.1.0",
        "v0.0.3",
    ]
    assert one.text(one.text("Grace deploys v3.2.1 of payments")) == "Ada deploys v1.1.0 of orders"


def test_of_a_person_only_a_placeholder_stays() -> None:
    event: dict[str, Any] = {
        "kind": "message_received",
        "id": "x",
        "sender": GRACE | {"member": "grace", "login": "grace@laptop"},
        "text": "it is Grace",
        "quoted": "her old mail",
        "origin": {"to": ["all@corp.example"]},
    }
    assert hidden().event(event) == {
        "kind": "message_received",
        "id": "x",
        "sender": {"name": "Ada", "address": "ada", "trust": "verified"},
        "text": "it is Ada",
    }


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "ghp_" + "a1" * 12,
        "xoxb-" + "123456789012",
        "sk-" + "a" * 24,
        "eyJhbGciOiJI.eyJzdWIiOiIx.abc",
        "password: hunter2!",
        "export API_KEY=abcdef123",
        "Authorization: Basic abc",
        "postgres://app:pw123@db/x",
    ],
)
def test_what_looks_like_a_secret_is_seen(text: str) -> None:
    assert secrets_in(f"it says {text} there")


def test_ordinary_words_are_no_secret() -> None:
    assert secrets_in("deploy 4af9ec0bd7b1e9b2d0e4a4d07b6d1c5b1c1f0a11 to live, the token ring is broken: yes") == []
