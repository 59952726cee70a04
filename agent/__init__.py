"""How it thinks: steps, the reducer, context, prompt, model, and a roster of small focused agents.

What stands here is all that an agent of a team's own needs. Its tools, its plan and its `build` import from `agent` and
from nothing below it, as the agents that ship do; what is below may change without a word.
"""

from __future__ import annotations

from agent.calls import Called, calls, taken
from agent.definition import Agent, AgentError, Limits
from agent.openings import opening_of
from agent.steps import (
    Call,
    DoneForNow,
    Facts,
    HandOver,
    LookAgain,
    NothingToDo,
    RequestHumanInput,
    Result,
    SendUpdate,
    SetReminder,
    Step,
    Tool,
    ToolError,
    Wait,
    WithdrawRequest,
    as_question,
)
from store.events import MessageReceived, TriggerReceived
from store.thread import Thread

__all__ = [
    "Agent",
    "AgentError",
    "Call",
    "Called",
    "DoneForNow",
    "Facts",
    "HandOver",
    "Limits",
    "LookAgain",
    "MessageReceived",
    "NothingToDo",
    "RequestHumanInput",
    "Result",
    "SendUpdate",
    "SetReminder",
    "Step",
    "Thread",
    "Tool",
    "ToolError",
    "TriggerReceived",
    "Wait",
    "WithdrawRequest",
    "as_question",
    "calls",
    "opening_of",
    "taken",
]
