"""What binds an approval to exactly one call: a digest that is shown, decided on, and checked again at execution."""

from __future__ import annotations

import hashlib
import json

from pydantic import JsonValue

from store.events import ApprovalRequested, StepChosen
from store.thread import StepState


def digest(thread_id: str, chosen: StepChosen, facts: dict[str, JsonValue], policy: dict[str, JsonValue]) -> str:
    """SHA-256 over canonical JSON, in hex.

    Any change of what was seen, or of who may decide, gives another digest; so does another request for the same call.
    """
    seen = [thread_id, chosen.step, chosen.intent, chosen.arguments, facts, policy]
    whole = json.dumps(seen, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def still_binds(thread_id: str, step: StepState, request: ApprovalRequested) -> bool:
    """Whether the call that is about to run is, to the letter, the one that was decided on."""
    seen = digest(thread_id, step.chosen, request.facts, request.policy)
    return request.digest == seen and step.decision is not None and step.decision.digest == seen
