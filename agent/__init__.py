"""Agents: steps, the decision loop, context, model, and a roster of small focused agents.

These names are the public interface for agents. A team's own agent imports what its tools, plan and `build` need from
`agent` only, as the agents that ship do; the modules below may change without notice.
"""

from __future__ import annotations

from agent.awaiting import await_news, no_longer
from agent.calls import Called, calls, steps_taken
from agent.definition import Agent, AgentError, Limits
from agent.notes import ANOTHER_THREAD, KeepsNotes, NoNotes, Notes, NotesUnavailable
from agent.openings import opening_of
from agent.results import Result
from agent.secrets import secret, setting
from agent.steps import (
    Call,
    DoneForNow,
    Facts,
    HandOver,
    LookAgain,
    Meaning,
    NothingToDo,
    OutcomeUnknown,
    RequestHumanInput,
    Said,
    SendUpdate,
    SetReminder,
    ShowTasks,
    Step,
    Tool,
    ToolError,
    Wait,
    WithdrawRequest,
    as_question,
)
from store import awaited
from store.events import MessageReceived, StepChosen, TriggerReceived
from store.thread import Thread

__all__ = [
    "ANOTHER_THREAD",
    "Agent",
    "AgentError",
    "Call",
    "Called",
    "DoneForNow",
    "Facts",
    "HandOver",
    "KeepsNotes",
    "Limits",
    "LookAgain",
    "Meaning",
    "MessageReceived",
    "NoNotes",
    "Notes",
    "NotesUnavailable",
    "NothingToDo",
    "OutcomeUnknown",
    "RequestHumanInput",
    "Result",
    "Said",
    "SendUpdate",
    "SetReminder",
    "ShowTasks",
    "Step",
    "StepChosen",
    "Thread",
    "Tool",
    "ToolError",
    "TriggerReceived",
    "Wait",
    "WithdrawRequest",
    "as_question",
    "await_news",
    "awaited",
    "calls",
    "no_longer",
    "opening_of",
    "secret",
    "setting",
    "steps_taken",
]
