"""Classifies Slack's errors: permanent, until an administrator repairs the installation, or temporary.

It owns the lists of Slack's error codes. It makes no calls and retries nothing.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from channels.base import SendFailed

CALL_FAILED = (SlackClientError, aiohttp.ClientError, TimeoutError, OSError)
"""Everything that the Slack client raises if a call fails."""
RETRY_SECONDS = 10.0
RETRY_AFTER_REPAIR_SECONDS = 600.0

_FOR_GOOD = {
    "block_mismatch",
    "cannot_dm_bot",
    "cannot_reply_to_message",
    "cant_update_message",
    "channel_is_limited_access",
    "channel_not_found",
    "edit_window_closed",
    "invalid_arguments",
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_metadata_format",
    "invalid_metadata_schema",
    "is_archived",
    "is_inactive",
    "message_not_found",
    "messages_tab_disabled",
    "metadata_too_large",
    "msg_too_long",
    "msg_blocks_too_long",
    "no_text",
    "not_in_channel",
    "restricted_action",
    "restricted_action_non_threadable_channel",
    "restricted_action_read_only_channel",
    "restricted_action_thread_locked",
    "thread_not_found",
    "user_disabled",
    "user_not_found",
    "user_not_visible",
    "users_not_found",
}
"""Retrying is useless. https://docs.slack.dev/reference/methods/chat.postMessage#errors"""
_HELPS = {
    "channel_not_found": "The channel is gone, or private, and I am not in it: invite me there.",
    "is_archived": "The channel is archived. Unarchive it, or write to me in another channel.",
    "message_not_found": "Somebody has deleted the message.",
    "messages_tab_disabled": "The app's Messages tab is off: see app_home in manifest.yml.",
    "missing_scope": "Add the scope to the app (manifest.yml has all), and install it again.",
    "msg_blocks_too_long": "It is too long for Slack.",
    "msg_too_long": "It is too long for Slack.",
    "not_in_channel": "I am not in that channel: invite me there with /invite.",
    "restricted_action": "Only some people may post there: an administrator has to let me, or write to me elsewhere.",
    "restricted_action_non_threadable_channel": "That channel has no threads: write to me elsewhere.",
    "restricted_action_read_only_channel": "That channel is read-only: write to me elsewhere.",
    "restricted_action_thread_locked": "The thread is locked: write to me in a new one.",
    "thread_not_found": "Somebody has deleted the thread: write to me in a new one.",
    "token_revoked": "The app was removed: install it again, and set SLACK_BOT_TOKEN.",
    "user_disabled": "That person's account is deactivated.",
}
"""What people can do about it. The other codes mean a mistake of ours, or help themselves."""
_UNTIL_REPAIRED = {"account_inactive", "invalid_auth", "missing_scope", "not_authed", "token_expired", "token_revoked"}
"""The installation must be repaired first."""
_FOR_NOW = {
    "fatal_error",
    "internal_error",
    "message_limit_exceeded",
    "messaging_processing_failed",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
}
"""Slack has a fault, or limits our rate. The call may have taken effect all the same."""


def code_of(error: SlackApiError) -> str:
    response: Any = error.response
    return str(response.get("error") or f"HTTP {response.status_code}")


def in_words(error: BaseException) -> str:
    """For the log."""
    if isinstance(error, SlackApiError):
        return str(error.response.get("error"))
    return f"{type(error).__name__}: {error}"[:200]


def is_refusal(error: SlackApiError) -> bool:
    """Whether Slack rejected this particular call, and did nothing, so that another kind of call may work."""
    response: Any = error.response
    code = response.get("error")
    return response.status_code == 200 and bool(code) and code not in _FOR_NOW and code not in _UNTIL_REPAIRED


def is_lasting(error: BaseException) -> bool:
    """Whether the same call would be refused again until somebody changes something."""
    return isinstance(error, SlackApiError) and (is_refusal(error) or code_of(error) in _UNTIL_REPAIRED)


def failure_of(error: SlackApiError) -> SendFailed:
    response: Any = error.response
    code = code_of(error)
    if code in ("ratelimited", "rate_limited") or response.status_code == 429:
        return SendFailed("Slack asks to slow down.", _retry_after(response))
    needed = f" (it needs {response['needed']})" if response.get("needed") else ""
    helps = f" {_HELPS[code]}" if code in _HELPS else ""
    if code in _FOR_GOOD:
        return SendFailed(f"Slack refuses: {code}{needed}.{helps}")
    if code in _UNTIL_REPAIRED:
        text = f"Slack refuses: {code}{needed}.{helps} `bot doctor` says what to repair."
        return SendFailed(text, RETRY_AFTER_REPAIR_SECONDS)
    return SendFailed(f"Slack is in trouble: {code}.", RETRY_SECONDS)


def _retry_after(response: Any) -> float:
    headers = {str(name).lower(): value for name, value in (response.headers or {}).items()}
    try:
        return min(max(float(headers.get("retry-after", "")), 1.0), 3_600.0)
    except ValueError:
        return RETRY_SECONDS
