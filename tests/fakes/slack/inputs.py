"""What a person puts into Block Kit's inputs, as Slack writes it in `state.values`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.fakes.slack.effects import elements_of
from tests.fakes.slack.workspace import Json


class NotPossible(AssertionError):
    """A person could not do this in Slack: no such button, not in the channel, the form is not filled in."""


def entered(element: Json, given: Any) -> Json:
    """The state of an input after `given` was put in: text, an option's value or text, a date, a user's id, or a
    list of those. Raises NotPossible when the input does not take it."""
    kind = element["type"]
    if kind in _PLAIN:
        return {"type": kind, _PLAIN[kind]: given}
    if kind in ("static_select", "radio_buttons", "overflow"):
        return {"type": kind, "selected_option": None if given is None else _option(element, given)}
    if kind in ("multi_static_select", "checkboxes"):
        return {"type": kind, "selected_options": [_option(element, each) for each in _many(given)]}
    if kind == "external_select":
        option = {"text": {"type": "plain_text", "text": str(given)}, "value": str(given)}
        return {"type": kind, "selected_option": None if given is None else option}
    if kind in _MULTIPLE:
        return {"type": kind, _MULTIPLE[kind]: _many(given)}
    if kind == "plain_text_input":
        _check_length(element, given)
    return {"type": kind, "value": given}


_PLAIN = {
    "users_select": "selected_user",
    "conversations_select": "selected_conversation",
    "channels_select": "selected_channel",
    "datepicker": "selected_date",
    "timepicker": "selected_time",
    "datetimepicker": "selected_date_time",
    "rich_text_input": "rich_text_value",
}
_MULTIPLE = {
    "multi_users_select": "selected_users",
    "multi_conversations_select": "selected_conversations",
    "multi_channels_select": "selected_channels",
    "file_input": "files",
}


def initially(element: Json) -> Json:
    """The state of an input that nobody touched."""
    given = element.get("initial_value")
    for key, initial in element.items():
        if key == "initial_option":
            given = initial["value"]
        elif key == "initial_options":
            given = [option["value"] for option in initial]
        elif key.startswith("initial_") and key != "initial_value":
            given = initial
    return entered(element, given)


def is_empty(state: Json) -> bool:
    return not any(value for key, value in state.items() if key != "type")


def _many(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]


def _option(element: Json, given: Any) -> Json:
    options = list(element.get("options") or ())
    for group in element.get("option_groups") or ():
        options += group["options"]
    for option in options:
        if given in (option.get("value"), option["text"]["text"]):
            return dict(option)
    raise NotPossible(f"no option {given!r}; there are {[option['text']['text'] for option in options]}")


def _check_length(element: Json, given: Any) -> None:
    length = len(given or "")
    if length > element.get("max_length", 3000) or 0 < length < element.get("min_length", 0):
        raise NotPossible(f"{length} characters do not fit into {element.get('action_id')!r}")


def form_state(blocks: Sequence[Json], values: Json, touched: Json) -> Json:
    """`state.values` of a form: `values` by action id, block id or label, then what was `touched` before, which has
    the same shape as the result; the rest as it was at first.

    Raises NotPossible for a value that no input takes and for a required input that is left empty.
    """
    state: Json = {}
    used: set[str] = set()
    for block, element in elements_of(blocks):
        if element["type"] in ("button", "workflow_button", "overflow", "feedback_buttons", "icon_button"):
            continue
        names = (element["action_id"], block["block_id"], (block.get("label") or {}).get("text"))
        name = next((name for name in names if name in values), None)
        before = touched.get(block["block_id"], {}).get(element["action_id"]) or initially(element)
        given = entered(element, values[name]) if name is not None else before
        used |= {name} if name is not None else set()
        if block["type"] == "input" and not block.get("optional") and is_empty(given):
            raise NotPossible(f"{names[2] or names[0]!r} must be filled in")
        state.setdefault(block["block_id"], {})[element["action_id"]] = given
    if unknown := values.keys() - used:
        raise NotPossible(f"no input {sorted(unknown)}; there are {_names(blocks)}")
    return state


def _names(blocks: Sequence[Json]) -> list[str]:
    return [(block.get("label") or {}).get("text") or element["action_id"] for block, element in elements_of(blocks)]


def find_element(blocks: Sequence[Json], target: str) -> tuple[Json, Json]:
    """The block and the element with that action id, or with that text. Raises NotPossible unless it is exactly one."""
    everything = elements_of(blocks)
    for key in ("action_id", "text"):
        found = [(block, element) for block, element in everything if _called(element, key) == target]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotPossible(f"{len(found)} elements are called {target!r}")
    told = [_called(element, "text") or element.get("action_id") for _, element in everything]
    raise NotPossible(f"nothing to use is called {target!r}; there are {told}")


def _called(element: Json, key: str) -> Any:
    text = element.get("text")
    return text.get("text") if key == "text" and isinstance(text, dict) else element.get(key)
