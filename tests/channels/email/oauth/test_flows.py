"""How a person logs in: by a code that they type in anywhere (Microsoft), by a browser that comes back (Google)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from channels.email.oauth import device
from channels.email.oauth.account import GOOGLE, MICROSOFT, Account
from channels.email.oauth.loopback import listening
from channels.email.servers import LoginRefused, TokenUnavailable
from tests.fakes.oauth import CLIENT_ID, CLIENT_SECRET, TENANT, OAuthServer

BOT = "deploybot@team.example"


@pytest.fixture
async def server() -> AsyncIterator[OAuthServer]:
    async with OAuthServer(interval_seconds=5) as it:
        yield it


def microsoft(server: OAuthServer, tenant: str = TENANT, client_id: str = CLIENT_ID) -> Account:
    return Account(MICROSOFT, BOT, client_id, tenant=tenant, base_url=server.url)


def google(server: OAuthServer) -> Account:
    return Account(GOOGLE, BOT, CLIENT_ID, CLIENT_SECRET, base_url=server.url)


class Pauses:
    """Instead of waiting: what was waited for, and what happens meanwhile."""

    def __init__(self, *meanwhile: Callable[[], None]) -> None:
        self.seconds: list[float] = []
        self._meanwhile = list(meanwhile)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if self._meanwhile:
            self._meanwhile.pop(0)()


def nothing() -> None:
    pass


async def fails(work: Awaitable[object], words: str, kind: type[Exception] = LoginRefused) -> None:
    with pytest.raises(kind, match=words):
        await work


# Device code


async def test_a_person_types_in_the_code_and_logs_in(server: OAuthServer) -> None:
    account = microsoft(server)
    code = await device.begin(account)
    assert (code.page, code.user_code, code.interval_seconds) == ("https://www.microsoft.com/link", "CODE1", 5)
    pauses = Pauses(nothing, nothing, lambda: server.logs_in(code.user_code, BOT))
    granted = await device.finish(account, code, pause=pauses)
    assert server.access_tokens[granted.access_token] == BOT
    assert server.refresh_tokens[granted.refresh_token] == BOT
    assert pauses.seconds == [5, 5, 5]
    assert code.device_code not in repr(code)


async def test_a_server_that_asks_to_slow_down_is_asked_more_slowly(server: OAuthServer) -> None:
    account = microsoft(server)
    code = await device.begin(account)
    server.next_errors = ["slow_down", "authorization_pending", "slow_down", "503"]
    pauses = Pauses(*[nothing] * 4, lambda: server.logs_in(code.user_code, BOT))
    await device.finish(account, code, pause=pauses)
    assert pauses.seconds == [5, 10, 10, 15, 30]


async def test_a_login_that_is_declined_or_comes_too_late_is_told(server: OAuthServer) -> None:
    account = microsoft(server)
    code = await device.begin(account)
    await fails(
        device.finish(account, code, pause=Pauses(lambda: server.declines(code.user_code))), "login was declined"
    )
    code = await device.begin(account)
    await fails(
        device.finish(account, code, pause=Pauses(lambda: server.expire(code.user_code))), "Nobody logged in before"
    )
    pauses = Pauses()
    await fails(device.finish(account, await device.begin(account), pause=pauses), "Nobody logged in before the code")
    assert sum(pauses.seconds) == 900


async def test_an_app_or_a_tenant_that_there_is_not_is_told_with_what_to_check(server: OAuthServer) -> None:
    await fails(device.begin(microsoft(server, client_id="x")), "AADSTS700016.*Check EMAIL_OAUTH_CLIENT_ID")
    await fails(device.begin(microsoft(server, tenant="nobody.example")), "AADSTS90002: Tenant 'nobody.example' not")


async def test_an_app_that_is_no_public_client_is_told(server: OAuthServer) -> None:
    account = microsoft(server)
    code = await device.begin(account)
    server.next_errors = ["invalid_client"]
    await fails(device.finish(account, code, pause=Pauses()), "allow public client flows")


# A browser that comes back


async def open_in_browser(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as browser, browser.get(url) as page:
        return page.status, await page.text()


async def test_a_person_consents_and_the_browser_brings_the_code(server: OAuthServer) -> None:
    async with listening(google(server)) as login:
        asked = parse_qs(urlsplit(login.page).query)
        assert asked["login_hint"] == [BOT]
        status, text = await open_in_browser(login.page)
        assert (status, "Go back to the terminal" in text) == (200, True)
        granted = await login.finish()
    assert server.refresh_tokens[granted.refresh_token] == BOT
    assert granted.scopes == {"https://mail.google.com/"}


async def test_a_browser_of_somebody_else_changes_nothing(server: OAuthServer) -> None:
    async with listening(google(server)) as login:
        forged = f"{login.redirect_uri}?code=4/theirs&state=guessed"
        assert (await open_in_browser(forged))[0] == 400
        assert (await open_in_browser(login.redirect_uri))[0] == 400
        assert not login.pasted(forged)
        await open_in_browser(login.page)
        assert (await login.finish()).access_token in server.access_tokens


async def test_the_address_at_which_a_browser_elsewhere_ended_may_be_pasted(server: OAuthServer) -> None:
    async with listening(google(server)) as login:
        async with aiohttp.ClientSession() as browser, browser.get(login.page, allow_redirects=False) as page:
            assert login.pasted(f"  {page.headers['Location']}\n")
        assert (await login.finish()).access_token in server.access_tokens


async def test_a_code_is_of_no_use_to_another_process(server: OAuthServer) -> None:
    async with listening(google(server)) as login, listening(google(server)) as other:
        async with aiohttp.ClientSession() as browser, browser.get(login.page, allow_redirects=False) as page:
            fields = {name: values[0] for name, values in parse_qs(urlsplit(page.headers["Location"]).query).items()}
        theirs = parse_qs(urlsplit(other.page).query)["state"][0]
        assert other.came_back(fields | {"state": theirs})
        await fails(other.finish(), "Malformed auth code")


async def test_a_person_who_declines_is_told_what_to_do(server: OAuthServer) -> None:
    server.consents_to = ""
    async with listening(google(server)) as login:
        await open_in_browser(login.page)
        await fails(login.finish(), r"The login was declined \(The user declined\)")


async def test_at_microsoft_too_a_browser_may_come_back(server: OAuthServer) -> None:
    async with listening(microsoft(server)) as login:
        assert login.redirect_uri.startswith("http://localhost:")
        await open_in_browser(login.page)
        granted = await login.finish()
    assert server.refresh_tokens[granted.refresh_token] == BOT


async def test_a_directory_that_forbids_device_codes_is_told_of_the_other_way(server: OAuthServer) -> None:
    account = microsoft(server)
    code = await device.begin(account)
    server.next_errors = ["invalid_grant"]
    await fails(device.finish(account, code, pause=Pauses()), "refuses the login.*`bot login email --browser`")


async def test_a_token_server_that_is_away_is_told(server: OAuthServer) -> None:
    async with listening(google(server)) as login:
        await open_in_browser(login.page)
        server.next_errors = ["502"]
        await fails(login.finish(), "answers 502", TokenUnavailable)
