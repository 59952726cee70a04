"""The access token of the mailbox: one for all, renewed in time, and what is told when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from channels.email.oauth.access import REFUSED_SECONDS, REJECTED_SECONDS_MIN, RENEW_SECONDS_BEFORE, RenewedTokens
from channels.email.oauth.account import GOOGLE, MICROSOFT, Account, Provider
from channels.email.oauth.kept import Login, Logins
from channels.email.oauth.service_account import ServiceAccount
from channels.email.servers import LoginRefused, TokenUnavailable
from store.base import StoreUnavailable
from store.memory import MemoryStore
from tests.fakes.oauth import CLIENT_ID, CLIENT_SECRET, TENANT, OAuthServer

BOT = "deploybot@team.example"
HOUR = 3_600.0


class Notes(MemoryStore):
    """A store that can be away for writes."""

    away = False

    async def set_note(self, name: str, text: str, *, expected: str) -> bool:
        if self.away:
            raise StoreUnavailable("Redis is away.")
        return await super().set_note(name, text, expected=expected)


@dataclass
class World:
    server: OAuthServer
    store: Notes = field(default_factory=Notes)
    seconds: float = 1_000.0

    def clock(self) -> float:
        return self.seconds

    def account(self, provider: Provider = MICROSOFT, *, client_id: str = CLIENT_ID, secret: str = "") -> Account:
        tenant = TENANT if provider is MICROSOFT else ""
        return Account(provider, BOT, client_id, secret, tenant, base_url=self.server.url)

    def google(self) -> Account:
        return self.account(GOOGLE, secret=CLIENT_SECRET)

    def service(self, key: str = "", mailbox: str = BOT) -> Account:
        service = ServiceAccount.parse(key or self.server.service_account())
        return Account(GOOGLE, mailbox, service=service, base_url=self.server.url)

    def logins(self, account: Account, key: str = "k" * 16) -> Logins:
        async def keys() -> Sequence[str]:
            return [key]

        return Logins(self.store, keys, account)

    def process(self, account: Account | None = None, key: str = "k" * 16) -> RenewedTokens:
        """The tokens of one process."""
        account = account or self.account()
        return RenewedTokens(account, self.logins(account, key), clock=self.clock)

    async def log_in(self, account: Account | None = None) -> str:
        """The refresh token that is kept."""
        account = account or self.account()
        token = self.server._refresh_token(BOT)
        await self.logins(account).keep(Login(token, account.client, "2026-11-27T09:00:00+00:00"))
        return token

    async def kept(self, account: Account | None = None) -> str:
        login = await self.logins(account or self.account()).read()
        return login.refresh_token if login else ""


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with OAuthServer(lifetime_seconds=HOUR) as server:
        yield World(server)


async def refusal(tokens: RenewedTokens) -> LoginRefused:
    with pytest.raises(LoginRefused) as refused:
        await tokens.token()
    assert "\n" not in str(refused.value)
    return refused.value


# Renewed


async def test_many_connections_at_once_ask_for_one_token(world: World) -> None:
    await world.log_in()
    tokens = world.process()
    assert len(set(await asyncio.gather(*(tokens.token() for _ in range(20))))) == 1
    assert world.server.refreshes == 1


async def test_a_token_is_used_until_shortly_before_its_end(world: World) -> None:
    await world.log_in()
    tokens = world.process()
    first = await tokens.token()
    world.seconds += HOUR - RENEW_SECONDS_BEFORE - 1
    assert await tokens.token() == first
    world.seconds += 1
    assert await tokens.token() != first
    assert world.server.refreshes == 2


async def test_a_token_of_a_short_life_is_used_for_most_of_it(world: World) -> None:
    world.server.lifetime_seconds = 60
    await world.log_in()
    tokens = world.process()
    first = await tokens.token()
    world.seconds += 44
    assert await tokens.token() == first
    world.seconds += 1
    assert await tokens.token() != first


async def test_while_the_token_server_is_away_the_old_token_is_used_to_its_end(world: World) -> None:
    await world.log_in()
    tokens = world.process()
    first = await tokens.token()
    world.server.next_errors = ["503", "temporarily_unavailable", "500"]
    world.seconds += HOUR - RENEW_SECONDS_BEFORE
    assert await tokens.token() == first
    world.seconds += 20
    assert await tokens.token() == first
    world.seconds += RENEW_SECONDS_BEFORE
    with pytest.raises(TokenUnavailable, match=r"^127\.0\.0\.1:\d+ answers 500$"):
        await tokens.token()
    assert await tokens.token() != first


async def test_a_token_server_that_is_not_there_is_told_without_what_was_sent(world: World) -> None:
    refresh_token = await world.log_in()
    tokens = world.process()
    await world.server.__aexit__()
    with pytest.raises(TokenUnavailable, match="cannot be reached") as away:
        await tokens.token()
    assert refresh_token not in str(away.value)


async def test_a_token_that_a_mail_server_refuses_is_replaced(world: World) -> None:
    await world.log_in()
    tokens = world.process()
    first = await tokens.token()
    world.seconds += REJECTED_SECONDS_MIN
    assert tokens.rejected(first)
    second = await tokens.token()
    assert second != first
    assert tokens.rejected(first), "another connection was refused as well, and may use the new one"
    assert await tokens.token() == second


async def test_a_new_token_that_a_mail_server_refuses_is_not_replaced_again_and_again(world: World) -> None:
    await world.log_in()
    tokens = world.process()
    first = await tokens.token()
    for _ in range(5):
        assert not tokens.rejected(first)
        assert await tokens.token() == first
    assert world.server.refreshes == 1


# Rotated, by several processes


async def test_what_microsoft_rotates_is_durable_before_the_token_is_used(world: World) -> None:
    before = await world.log_in()
    await world.process().token()
    after = await world.kept()
    assert after != before
    assert world.server.given("refresh_token")[0]["refresh_token"] == before
    await world.process().token()
    assert world.server.given("refresh_token")[1]["refresh_token"] == after


async def test_a_process_that_ends_before_the_new_refresh_token_is_kept_loses_nothing(world: World) -> None:
    before = await world.log_in()
    world.store.away = True
    with pytest.raises(TokenUnavailable, match="the login cannot be read from the store"):
        await world.process().token()
    assert world.server.refreshes == 1
    world.store.away = False
    assert await world.kept() == before
    assert await world.process().token(), "a later process"
    assert await world.kept() != before


@pytest.mark.parametrize("provider", ["microsoft", "google"])
async def test_processes_that_renew_at_once_do_not_disturb_each_other(world: World, provider: str) -> None:
    account = world.account() if provider == "microsoft" else world.google()
    before = await world.log_in(account)
    processes = [world.process(account) for _ in range(5)]
    tokens = await asyncio.gather(*(one.token() for one in processes))
    assert len(set(tokens)) == 5
    assert all(token in world.server.access_tokens for token in tokens)
    kept = await world.kept(account)
    assert kept in world.server.refresh_tokens
    assert (kept == before) == (provider == "google")
    world.seconds += HOUR
    await asyncio.gather(*(one.token() for one in processes))


async def test_what_another_process_rotated_meanwhile_is_used_where_the_old_one_is_refused(world: World) -> None:
    await world.log_in()

    async def key() -> Sequence[str]:
        return ["k" * 16]

    class Outrun(Logins):
        """Somebody logs in anew between its first read and what comes of it."""

        is_first = True

        async def read(self) -> Login | None:
            login = await super().read()
            if self.is_first:
                self.is_first = False
                world.server.revoke()
                await world.log_in()
            return login

    tokens = RenewedTokens(world.account(), Outrun(world.store, key, world.account()), clock=world.clock)
    assert await tokens.token() in world.server.access_tokens


# Refused


async def test_without_a_login_it_says_how_to_log_in(world: World) -> None:
    told = await refusal(world.process())
    assert str(told) == f"There is no login to {BOT} at Microsoft that this bot can use. Run `bot login email`."


async def test_a_login_that_was_withdrawn_is_told_once_asked_and_with_what_to_do(world: World) -> None:
    await world.log_in()
    tokens = world.process()
    await tokens.token()
    world.server.revoke()
    world.seconds += HOUR
    told = await refusal(tokens)
    assert str(told) == (
        f"Microsoft gives no access token for {BOT}: AADSTS700082: The refresh token has expired due to inactivity. It "
        "was issued on 2026-06-01T00:00:00Z. Run `bot login email`."
    )
    asked = len(world.server.requests)
    assert (await refusal(tokens)).key == told.key
    assert len(world.server.requests) == asked, "it is not asked again and again"
    world.seconds += REFUSED_SECONDS
    await refusal(tokens)
    assert len(world.server.requests) == asked + 1


async def test_after_a_new_login_it_goes_on_at_once(world: World) -> None:
    await world.log_in()
    world.server.revoke()
    tokens = world.process()
    first = await refusal(tokens)
    await world.log_in()
    assert await tokens.token() in world.server.access_tokens
    world.server.revoke()
    world.seconds += HOUR
    assert (await refusal(tokens)).key != first.key, "another login that ended is told anew"


async def test_a_login_for_another_app_or_with_another_key_of_ours_is_none(world: World) -> None:
    await world.log_in()
    for tokens in (world.process(world.account(client_id="another")), world.process(key="another key, as long")):
        assert "There is no login" in str(await refusal(tokens))
    assert await world.process().token()


async def test_a_login_is_forgotten(world: World) -> None:
    token = await world.log_in()
    before = await world.logins(world.account()).forget()
    assert before
    assert before.refresh_token == token
    assert "There is no login" in str(await refusal(world.process()))
    assert await world.logins(world.account()).forget() is None


async def test_nothing_that_is_kept_or_shown_holds_a_token(world: World) -> None:
    token = await world.log_in()
    login = await world.logins(world.account()).read()
    assert token not in repr(login)
    assert CLIENT_SECRET not in repr(world.google())
    assert token not in await world.store.get_note(f"email/login/{BOT}")


# Apps that log in by themselves


async def test_an_app_of_microsoft_gets_a_token_by_its_secret(world: World) -> None:
    tokens = world.process(world.account(secret=CLIENT_SECRET))
    assert await tokens.token() in world.server.access_tokens
    (form,) = world.server.given("client_credentials")
    assert form["scope"] == "https://outlook.office365.com/.default"


async def test_a_secret_that_has_expired_is_told_with_what_to_do(world: World) -> None:
    world.server.secret = "the new one"
    told = await refusal(world.process(world.account(secret=CLIENT_SECRET)))
    assert "AADSTS7000222: The provided client secret keys are expired." in str(told)
    assert "EMAIL_OAUTH_CLIENT_SECRET is wrong or has expired: make a new one, set it, and start" in str(told)
    assert CLIENT_SECRET not in str(told)


async def test_a_service_account_of_google_signs_for_the_mailbox(world: World) -> None:
    tokens = world.process(world.service())
    assert world.server.access_tokens[await tokens.token()] == BOT


async def test_what_keeps_a_service_account_out_is_told_with_what_to_do(world: World) -> None:
    world.server.delegated = False
    assert "Domain-wide delegation, allow the client id" in str(await refusal(world.process(world.service())))
    world.server.delegated = True
    told = await refusal(world.process(world.service(mailbox="nobody@team.example")))
    assert str(told).endswith(
        "Invalid email or User ID. Check that EMAIL_ADDRESS is a mailbox of the domain, and the clock of this machine."
    )
    other = world.server.service_account(generate_private_key(public_exponent=65537, key_size=2048))
    assert "Invalid JWT Signature" in str(await refusal(world.process(world.service(other))))
