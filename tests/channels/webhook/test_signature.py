"""The signature is that of Standard Webhooks, as its authors' own implementation verifies it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from channels.webhook.signature import headers_of, id_of, key_of
from tests.fakes.webhooks import new_secret


def now() -> int:
    """The library that verifies goes by the clock of this moment, and refuses what is five minutes old."""
    return int(datetime.now(UTC).timestamp())


def test_it_is_the_one_that_the_specification_publishes() -> None:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/python/tests/test_webhooks.py"""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert headers_of("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}', [key]) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(st.text(max_size=60), st.binary(min_size=24, max_size=64), st.text(max_size=200))
def test_whatever_is_signed_is_verified_and_nothing_else(key: str, secret: bytes, text: str) -> None:
    body = text.encode(errors="surrogatepass").decode(errors="replace").encode()
    verifier, at = Webhook(secret), now()
    headers = headers_of(id_of(key), at, body, [secret])
    verifier.verify(body, headers, json_parse=False)
    for changed in (
        (body + b" ", headers),
        (body, headers | {"webhook-id": id_of(f"{key}x")}),
        (body, headers | {"webhook-timestamp": str(at - 1)}),
        (body, headers_of(id_of(key), at, body, [secret[::-1] + b"x"])),
    ):
        with pytest.raises(WebhookVerificationError):
            verifier.verify(*changed, json_parse=False)


def test_while_a_key_is_replaced_both_sign() -> None:
    old, new = new_secret(), new_secret()
    headers = headers_of("msg_1", now(), b"{}", [key_of(new), key_of(old)])
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (old, new):
        assert Webhook(secret).verify(b"{}", headers) == {}


def test_what_is_old_is_not_taken() -> None:
    secret = new_secret()
    headers = headers_of("msg_1", now() - int(timedelta(minutes=6).total_seconds()), b"{}", [key_of(secret)])
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret).verify(b"{}", headers)


@given(st.text(max_size=300))
def test_an_id_is_plain_whatever_the_key_holds(key: str) -> None:
    """The id is signed with full stops around it, so it must hold none."""
    assert id_of(key) == id_of(key)
    assert id_of(key).removeprefix("msg_").isalnum()
    assert id_of(f"{key}.") != id_of(key)


@pytest.mark.parametrize(
    "secret",
    [
        *(
            "",
            "whsec_",
            "hunter2-is-my-secret",
            "whsec_hunter2!",
            f"whsec_{base64.b64encode(bytes(32)).decode()}!",
            base64.b64encode(bytes(32)).decode(),
        ),
        *(f"whsec_{base64.b64encode(bytes(size)).decode()}" for size in (23, 65)),
    ],
)
def test_what_is_no_secret_of_the_specification_is_not_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 random bytes in base64") as told:
        key_of(secret)
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize("size", [24, 64])
def test_a_key_may_be_as_short_and_as_long_as_the_specification_says(size: int) -> None:
    assert len(key_of(f"whsec_{base64.b64encode(bytes(size)).decode()}")) == size
