"""The same events as standard chat messages with tool calls: what our context is measured against.

Only what the model is told in our context is told here, and as a framework would: a step is an assistant's tool call,
its result a tool message with compact JSON, a person's words a user message. What chat messages have no place for (a
request for approval with its facts, a decision, a trigger, a hand-over) is a developer message with compact JSON.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from store.events import (
    AgentChanged,
    ApprovalDecided,
    ApprovalRequested,
    Event,
    HandedToHuman,
    MessageReceived,
    StepChosen,
    StepRefused,
    ToolFinished,
    ToolInterrupted,
    TriggerReceived,
)
from store.thread import Thread

Message = dict[str, Any]


def standard_messages(thread: Thread) -> list[Message]:
    messages = [message for event in thread.events for message in _messages(event, thread)]
    answered = {message["tool_call_id"] for message in messages if message["role"] == "tool"}
    return [whole for message in messages for whole in (message, *_not_run(message, answered))]


def _not_run(message: Message, answered: set[str]) -> list[Message]:
    """Results of the calls that got none: without them no endpoint takes the messages."""
    ids = [call["id"] for call in message.get("tool_calls", ()) if call["id"] not in answered]
    return [{"role": "tool", "tool_call_id": call_id, "content": "not run"} for call_id in ids]


def wire(messages: list[Message]) -> str:
    """As the openai SDK sends them."""
    return json.dumps(messages, ensure_ascii=False, separators=(",", ":"))


def texts(messages: list[Message]) -> str:
    """What they say without roles, ids and braces of the message itself: the least that any provider can count."""
    parts: list[str] = []
    for message in messages:
        parts += (
            f"{call['function']['name']}{call['function']['arguments']}" for call in message.get("tool_calls", ())
        )
        if message.get("content"):
            parts.append(message["content"])
    return "\n".join(parts)


def _messages(event: Event, thread: Thread) -> list[Message]:
    match event:
        case MessageReceived():
            who = f"{event.sender.name} ({event.sender.trust})"
            subject = f"{event.subject}\n" if event.subject else ""
            return [{"role": "user", "content": f"{who}: {subject}{event.text}"}]
        case TriggerReceived():
            return [_told(trigger={"source": event.source, "name": event.name, **event.data})]
        case StepChosen(intent="done_for_now" | "send_update"):
            return [{"role": "assistant", "content": event.arguments["message"]}]
        case StepChosen(intent="request_human_input"):
            options: Any = event.arguments["options"]
            choices = "".join(f"\n- {choice}" for choice in options["choices"])
            content = f"{event.arguments['question']}\n{event.arguments['context']}{choices}"
            return [{"role": "assistant", "content": content}]
        case StepChosen(intent="nothing_to_do" | "hand_over"):
            return []
        case StepChosen():
            function = {"name": event.intent, "arguments": _json(event.arguments)}
            return [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": _call_id(event.step, thread), "type": "function", "function": function}],
                }
            ]
        case ApprovalRequested():
            return [_told(approval_requested={"tool": thread.state.steps[event.step].chosen.intent, **event.facts})]
        case ApprovalDecided():
            decision = {"by": f"{event.by.name} ({event.by.trust})", "approved": event.approved}
            told = decision | ({"comment": event.comment} if event.comment else {})
            return [_told(decision=told), *([] if event.approved else [_result(event.step, thread, "rejected")])]
        case ToolFinished():
            return [_result(event.step, thread, _json({"error": event.error} if event.error else event.result))]
        case ToolInterrupted():
            return [_result(event.step, thread, _json({"error": event.why}))]
        case StepRefused():
            return [_result(event.step, thread, _json({"error": event.error}))]
        case AgentChanged():
            return [_told(agent_changed={"agent": event.agent, "reason": event.reason})]
        case HandedToHuman():
            return [_told(handed_to_human={"reason": event.reason})]
        case _:
            return []


def _told(**fact: Any) -> Message:
    return {"role": "developer", "content": _json(fact)}


def _result(step: str, thread: Thread, content: str) -> Message:
    return {"role": "tool", "tool_call_id": _call_id(step, thread), "content": content}


def _call_id(step: str, thread: Thread) -> str:
    """`call_` and 24 letters and digits, as OpenAI gives them."""
    hashed = hashlib.sha256(f"{thread.id}/{step}".encode()).digest()
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return "call_" + "".join(letters[byte % len(letters)] for byte in hashed[:24])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
