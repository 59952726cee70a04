"""Maps the outcomes of decisions and edits to HTTP statuses, for the API and the pages. It writes no text."""

from __future__ import annotations

from channels.inbound import Refused

OF_OUTCOME = {
    "settled": 200,
    "counted": 200,
    "too_late": 409,
    "other_request": 409,
    "being_edited": 409,
    "not_entitled": 403,
    "expired": 410,
}
"""By `bot.deciding.DecisionResult.outcome`."""


def of_refusal(refused: Refused) -> int:
    match refused.reason:
        case "not_entitled":
            return 403
        case "expired":
            return 410
        case _:
            return 409
