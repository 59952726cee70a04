"""What Slack refuses: the limits of Block Kit, messages, metadata and views, with Slack's own errors.

Sources: docs.slack.dev/reference/block-kit and /reference/methods; the total of 13,200 characters is bolt-js 2509.
Unknown block types are refused. Left out, and taken as they are: the inside of `video`, `call`, `card`, `carousel`,
`container`, `plan`, `task_card`, `alert`, `data_table` and `data_visualization`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from tests.fakes.slack.workspace import Json

Surface = Literal["message", "modal", "home"]

BLOCKS_MAX: dict[Surface, int] = {"message": 50, "modal": 100, "home": 100}
BLOCK_CHARS_MAX = 13_200
MARKDOWN_CHARS_MAX = 12_000
TABLE_ROWS_MAX = 100
TABLE_COLUMNS_MAX = 20
TABLE_CHARS_MAX = 10_000
TEXT_CHARS_MAX = 40_000
UPDATED_TEXT_CHARS_MAX = 4_000
METADATA_BYTES_MAX = 16_000
VIEW_BYTES_MAX = 250_000
VIEW_STACK_MAX = 3

_BUTTONS = {"button", "workflow_button", "feedback_buttons", "icon_button"}
_ONE_OF = {f"{kind}_select" for kind in ("static", "external", "users", "conversations", "channels")}
_SELECTS = _ONE_OF | {f"multi_{kind}" for kind in _ONE_OF}
_CHOICES = _SELECTS | {"checkboxes", "radio_buttons", "datepicker", "timepicker", "datetimepicker"}
_TYPED = {f"{kind}_input" for kind in ("plain_text", "email_text", "url_text", "number", "rich_text", "file")}
_ACCESSORIES = (_BUTTONS - {"feedback_buttons", "icon_button"}) | _CHOICES | {"overflow", "image"}
_INSIDE: dict[str, set[str]] = {
    "actions": (_ACCESSORIES - {"image"}) | {"rich_text_input"},
    "context": {"plain_text", "mrkdwn", "image"},
    "context_actions": {"feedback_buttons", "icon_button"},
}
INTERACTIVE = _BUTTONS | _CHOICES | _TYPED | {"overflow"}
_UNCHECKED = {"video", "call", "card", "carousel", "container", "plan", "task_card", "alert", "data_table"}
_UNCHECKED |= {"data_visualization", "divider", "file", "auth_provider"}
_ONLY_IN: dict[str, set[Surface]] = {
    "input": {"message", "modal", "home"},
    "table": {"message"},
    "markdown": {"message"},
}
_RICH_INLINE = {"text", "link", "user", "usergroup", "channel", "emoji", "broadcast", "date", "color", "team"}
_RICH_INLINE |= {"message", "citation"}


class Refused(Exception):
    """Slack answers no. `error` is Slack's name for it, `fields` what else the answer says."""

    def __init__(self, error: str, **fields: Any) -> None:
        super().__init__(error)
        self.error = error
        self.fields = fields


def check_blocks(blocks: Any, surface: Surface = "message") -> None:
    """Raises Refused: invalid_blocks_format, invalid_blocks, msg_blocks_too_long."""
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise Refused("invalid_blocks_format")
    problems = list(block_problems(blocks, surface))
    if problems:
        raise Refused("invalid_blocks", **_told(problems))
    if surface == "message" and _chars(blocks) > BLOCK_CHARS_MAX:
        raise Refused("msg_blocks_too_long")


def check_view(view: Any) -> None:
    """Raises Refused: invalid_arguments, view_too_large."""
    if not isinstance(view, dict):
        raise Refused("invalid_arguments", **_told(["must provide an object [json-pointer:/view]"]))
    if len(repr(view)) > VIEW_BYTES_MAX:
        raise Refused("view_too_large")
    problems = list(_view_problems(view))
    if problems:
        raise Refused("invalid_arguments", **_told(problems))


def check_metadata(metadata: Any) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict) or not isinstance(metadata.get("event_payload"), dict):
        raise Refused("invalid_metadata_format")
    if not isinstance(metadata.get("event_type"), str) or not metadata["event_type"]:
        raise Refused("invalid_metadata_format")
    if len(repr(metadata)) > METADATA_BYTES_MAX:
        raise Refused("metadata_too_large")


def _told(problems: list[str]) -> Json:
    return {"errors": problems, "response_metadata": {"messages": [f"[ERROR] {problem}" for problem in problems]}}


def _chars(blocks: Any) -> int:
    """The characters of all that is shown. Slack's own count is not published; this one is near it."""
    match blocks:
        case list():
            return sum(_chars(item) for item in blocks)
        case dict():
            own = len(blocks["text"]) if isinstance(blocks.get("text"), str) else 0
            return own + sum(_chars(item) for item in blocks.values())
    return 0


def block_problems(blocks: list[Json], surface: Surface, pointer: str = "/blocks") -> Iterator[str]:
    if len(blocks) > BLOCKS_MAX[surface]:
        yield f"no more than {BLOCKS_MAX[surface]} items allowed [json-pointer:{pointer}]"
    seen: set[str] = set()
    for index, block in enumerate(blocks):
        at = f"{pointer}/{index}"
        kind = block.get("type")
        check = _BLOCKS.get(kind) if isinstance(kind, str) else None
        if (check is None and kind not in _UNCHECKED) or surface not in _ONLY_IN.get(str(kind), {surface}):
            yield f"unsupported type: {kind} [json-pointer:{at}/type]"
            continue
        yield from _text_length(block, "block_id", 255, at)
        block_id = block.get("block_id")
        if block_id in seen:
            yield f"block_id already exists: {block_id} [json-pointer:{at}/block_id]"
        seen |= {block_id} if block_id else set()
        if check:
            yield from check(block, at)
    yield from _several(blocks, pointer)


def _several(blocks: list[Json], pointer: str) -> Iterator[str]:
    if sum(block.get("type") == "table" for block in blocks) > 1:
        yield f"only_one_table_allowed [json-pointer:{pointer}]"
    markdown = sum(len(str(block.get("text", ""))) for block in blocks if block.get("type") == "markdown")
    if markdown > MARKDOWN_CHARS_MAX:
        yield f"markdown text exceeds {MARKDOWN_CHARS_MAX} characters in all [json-pointer:{pointer}]"


def _text_length(node: Json, key: str, chars_max: int, at: str, *, required: bool = False) -> Iterator[str]:
    text = node.get(key)
    if text is None:
        if required:
            yield f"missing required field: {key} [json-pointer:{at}]"
    elif not isinstance(text, str):
        yield f"must be a string [json-pointer:{at}/{key}]"
    elif len(text) > chars_max:
        yield f"must be less than {chars_max + 1} characters [json-pointer:{at}/{key}]"
    elif required and not text:
        yield f"must be more than 0 characters [json-pointer:{at}/{key}]"


def _text_object(node: Any, chars_max: int, at: str, kinds: str = "plain_text mrkdwn") -> Iterator[str]:
    if not isinstance(node, dict):
        yield f"must provide an object [json-pointer:{at}]"
    elif node.get("type") not in kinds.split():
        yield f"unsupported type: {node.get('type')} [json-pointer:{at}/type]"
    else:
        yield from _text_length(node, "text", chars_max, at, required=True)


def _section(block: Json, at: str) -> Iterator[str]:
    if block.get("text") is None and not block.get("fields"):
        yield f"missing required field: text [json-pointer:{at}]"
    if block.get("text") is not None:
        yield from _text_object(block["text"], 3000, f"{at}/text")
    fields = block.get("fields") or []
    if len(fields) > 10:
        yield f"no more than 10 items allowed [json-pointer:{at}/fields]"
    for index, item in enumerate(fields):
        yield from _text_object(item, 2000, f"{at}/fields/{index}")
    if block.get("accessory") is not None:
        yield from _element(block["accessory"], _ACCESSORIES, f"{at}/accessory")


def _header(block: Json, at: str) -> Iterator[str]:
    yield from _text_object(block.get("text"), 150, f"{at}/text", "plain_text")


def _markdown(block: Json, at: str) -> Iterator[str]:
    yield from _text_length(block, "text", MARKDOWN_CHARS_MAX, at, required=True)


def _image(block: Json, at: str) -> Iterator[str]:
    if not block.get("image_url") and not block.get("slack_file"):
        yield f"missing required field: image_url [json-pointer:{at}]"
    yield from _text_length(block, "image_url", 3000, at)
    yield from _text_length(block, "alt_text", 2000, at, required=True)


def _elements(items_max: int) -> Callable[[Json, str], Iterator[str]]:
    def check(block: Json, at: str) -> Iterator[str]:
        elements = block.get("elements")
        if not isinstance(elements, list) or not elements:
            yield f"no fewer than 1 items allowed [json-pointer:{at}/elements]"
            return
        if len(elements) > items_max:
            yield f"no more than {items_max} items allowed [json-pointer:{at}/elements]"
        seen: set[str] = set()
        for index, element in enumerate(elements):
            yield from _element(element, _INSIDE[block["type"]], f"{at}/elements/{index}")
            action_id = element.get("action_id") if isinstance(element, dict) else None
            if action_id in seen:
                yield f"action_id already exists: {action_id} [json-pointer:{at}/elements/{index}/action_id]"
            seen |= {action_id} if isinstance(action_id, str) else set()

    return check


def _input(block: Json, at: str) -> Iterator[str]:
    yield from _text_object(block.get("label"), 2000, f"{at}/label", "plain_text")
    if block.get("hint") is not None:
        yield from _text_object(block["hint"], 2000, f"{at}/hint", "plain_text")
    yield from _element(block.get("element"), _TYPED | _CHOICES, f"{at}/element")


def _element(element: Any, allowed: set[str], at: str) -> Iterator[str]:
    if not isinstance(element, dict) or element.get("type") not in allowed:
        kind = element.get("type") if isinstance(element, dict) else element
        yield f"unsupported type: {kind} [json-pointer:{at}/type]"
        return
    yield from _text_length(element, "action_id", 255, at)
    kind = element["type"]
    if kind in ("plain_text", "mrkdwn"):
        yield from _text_object(element, 3000, at)
    elif kind == "image":
        yield from _image(element, at)
    elif kind in ("button", "workflow_button"):
        yield from _text_object(element.get("text"), 75, f"{at}/text", "plain_text")
        yield from _text_length(element, "value", 2000, at)
        yield from _text_length(element, "url", 3000, at)
        if element.get("style", "primary") not in ("primary", "danger"):
            yield f"unsupported value: {element['style']} [json-pointer:{at}/style]"
    elif kind == "plain_text_input":
        yield from _text_length(element, "initial_value", 3000, at)
        for key in ("min_length", "max_length"):
            length = element.get(key, 1)
            if not isinstance(length, int) or not 0 <= length <= 3000:
                yield f"must be between 0 and 3000 [json-pointer:{at}/{key}]"
    if element.get("placeholder") is not None:
        yield from _text_object(element["placeholder"], 150, f"{at}/placeholder", "plain_text")
    if element.get("confirm") is not None:
        yield from _confirm(element["confirm"], f"{at}/confirm")
    yield from _options(element, at)


def _options(element: Json, at: str) -> Iterator[str]:
    kind = element["type"]
    options_max = {"static_select": 100, "multi_static_select": 100, "overflow": 5}.get(kind, 10)
    if kind not in ("static_select", "multi_static_select", "overflow", "checkboxes", "radio_buttons"):
        return
    groups = element.get("option_groups")
    lists = [("options", element.get("options"))]
    if groups:
        lists = [(f"option_groups/{index}/options", group.get("options")) for index, group in enumerate(groups)]
    for key, options in lists:
        if not isinstance(options, list) or not options:
            yield f"no fewer than 1 items allowed [json-pointer:{at}/{key}]"
            continue
        if len(options) > options_max:
            yield f"no more than {options_max} items allowed [json-pointer:{at}/{key}]"
        for index, option in enumerate(options):
            where = f"{at}/{key}/{index}"
            yield from _text_object(option.get("text"), 75, f"{where}/text")
            yield from _text_length(option, "value", 150, where, required=True)


def _confirm(confirm: Any, at: str) -> Iterator[str]:
    if not isinstance(confirm, dict):
        yield f"must provide an object [json-pointer:{at}]"
        return
    for key, chars_max in (("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)):
        if key in confirm:
            yield from _text_object(confirm[key], chars_max, f"{at}/{key}")


def _rich_text(block: Json, at: str) -> Iterator[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not elements:
        yield f"missing required field: elements [json-pointer:{at}]"
        return
    for index, element in enumerate(elements):
        where = f"{at}/elements/{index}"
        kind = element.get("type") if isinstance(element, dict) else None
        if kind not in ("rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"):
            yield f"unsupported type: {kind} [json-pointer:{where}/type]"
        elif kind == "rich_text_list":
            if element.get("style") not in ("bullet", "ordered"):
                yield f"unsupported value: {element.get('style')} [json-pointer:{where}/style]"
            for number, item in enumerate(element.get("elements") or [None]):
                yield from _rich_inline(item, f"{where}/elements/{number}")
        else:
            yield from _rich_inline(element, where)


def _rich_inline(section: Any, at: str) -> Iterator[str]:
    if not isinstance(section, dict) or not isinstance(section.get("elements"), list):
        yield f"missing required field: elements [json-pointer:{at}]"
        return
    for index, element in enumerate(section["elements"]):
        where = f"{at}/elements/{index}"
        kind = element.get("type") if isinstance(element, dict) else None
        if kind not in _RICH_INLINE:
            yield f"unsupported type: {kind} [json-pointer:{where}/type]"
        elif kind == "text":
            yield from _text_length(element, "text", TEXT_CHARS_MAX, where, required=True)
        elif kind == "link":
            yield from _text_length(element, "url", 3000, where, required=True)
        elif kind == "user":
            yield from _text_length(element, "user_id", 255, where, required=True)


def _table(block: Json, at: str) -> Iterator[str]:
    rows = block.get("rows")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        yield f"missing required field: rows [json-pointer:{at}]"
        return
    if len(rows) > TABLE_ROWS_MAX:
        yield f"no more than {TABLE_ROWS_MAX} items allowed [json-pointer:{at}/rows]"
    for number, row in enumerate(rows):
        if len(row) > TABLE_COLUMNS_MAX:
            yield f"no more than {TABLE_COLUMNS_MAX} items allowed [json-pointer:{at}/rows/{number}]"
        if len(row) != len(rows[0]):
            yield f"all rows must have the same number of cells [json-pointer:{at}/rows/{number}]"
        for column, cell in enumerate(row):
            where = f"{at}/rows/{number}/{column}"
            kind = cell.get("type") if isinstance(cell, dict) else None
            if kind == "rich_text":
                yield from _rich_text(cell, where)
            elif kind == "raw_text":
                yield from _text_length(cell, "text", TABLE_CHARS_MAX, where, required=True)
            else:
                yield f"unsupported type: {kind} [json-pointer:{where}/type]"
    if _chars(rows) > TABLE_CHARS_MAX:
        yield f"must be less than {TABLE_CHARS_MAX + 1} characters in all cells [json-pointer:{at}/rows]"


_BLOCKS: dict[str, Callable[[Json, str], Iterator[str]]] = {
    "section": _section,
    "header": _header,
    "markdown": _markdown,
    "image": _image,
    "actions": _elements(25),
    "context": _elements(10),
    "context_actions": _elements(5),
    "input": _input,
    "rich_text": _rich_text,
    "table": _table,
}


def _view_problems(view: Json) -> Iterator[str]:
    kind = view.get("type")
    if kind not in ("modal", "home"):
        yield f"unsupported type: {kind} [json-pointer:/view/type]"
        return
    surface: Surface = "modal" if kind == "modal" else "home"
    if surface == "modal":
        yield from _text_object(view.get("title"), 24, "/view/title", "plain_text")
        for key in ("submit", "close"):
            if view.get(key) is not None:
                yield from _text_object(view[key], 24, f"/view/{key}", "plain_text")
    yield from _text_length(view, "private_metadata", 3000, "/view")
    yield from _text_length(view, "callback_id", 255, "/view")
    yield from _text_length(view, "external_id", 255, "/view")
    blocks = view.get("blocks")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        yield "missing required field: blocks [json-pointer:/view]"
        return
    yield from block_problems(blocks, surface, "/view/blocks")
    if surface == "modal" and not view.get("submit") and any(block.get("type") == "input" for block in blocks):
        yield "missing required field: submit [json-pointer:/view]"
