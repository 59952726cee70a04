"""The device flow (RFC 8628), as Microsoft has it: a person opens a page on any machine and types in a code.

Source: learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code. This module keeps nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from channels.email.oauth import endpoint
from channels.email.oauth.account import Account
from channels.email.oauth.endpoint import Granted, OAuthError
from channels.email.oauth.refusals import not_logged_in
from channels.email.servers import LoginRefused, TokenUnavailable

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL_SECONDS = 5.0
"""Where the server says none, and what is added when it asks to slow down."""
LIFETIME_SECONDS = 900.0
_OVER = frozenset({"expired_token", "bad_verification_code"})
_DECLINED = frozenset({"access_denied", "authorization_declined"})


@dataclass(frozen=True, slots=True)
class DeviceCode:
    user_code: str
    page: str
    """Where to type it in."""
    lifetime_seconds: float
    interval_seconds: float
    device_code: str = field(repr=False)


async def begin(account: Account) -> DeviceCode:
    """Raises LoginRefused, TokenUnavailable."""
    form = {"client_id": account.client_id, "scope": " ".join(account.provider.scopes)}
    try:
        answer = await endpoint.post(account.url("device"), form)
        return DeviceCode(
            user_code=str(answer["user_code"]),
            # Google and the first drafts write verification_url.
            page=str(answer.get("verification_uri") or answer["verification_url"]),
            lifetime_seconds=float(answer.get("expires_in") or LIFETIME_SECONDS),
            interval_seconds=float(answer.get("interval") or INTERVAL_SECONDS),
            device_code=str(answer["device_code"]),
        )
    except OAuthError as error:
        raise not_logged_in(account, error) from error
    except (LookupError, TypeError, ValueError):
        raise TokenUnavailable(f"{account.provider.title} answers without a code") from None


async def finish(
    account: Account, code: DeviceCode, *, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> Granted:
    """Waits until the person has logged in. Raises LoginRefused, TokenUnavailable."""
    form = {"grant_type": GRANT, "client_id": account.client_id, "device_code": code.device_code}
    interval, left = code.interval_seconds, code.lifetime_seconds
    while left > 0:
        await pause(interval)
        left -= interval
        try:
            return await endpoint.granted(account.url("token"), form)
        except TokenUnavailable:
            interval *= 2  # RFC 8628, 3.5: back off when it cannot be reached.
        except OAuthError as error:
            if error.code == "slow_down":
                interval += INTERVAL_SECONDS
            elif error.code in _OVER:
                break
            elif error.code in _DECLINED:
                raise LoginRefused("The login was declined. Run `bot login email` again.", "declined") from error
            elif error.code != "authorization_pending":
                raise not_logged_in(account, error) from error
    raise LoginRefused("Nobody logged in before the code expired. Run `bot login email` again.", "expired")
