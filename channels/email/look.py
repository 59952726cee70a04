"""How mails and the pages behind their links look: the frame, the colours, the buttons. Pure; it knows no content.

Some mail programs drop the style sheet, and some draw a dark background by themselves. So a mail says the essential in
attributes too, and never a colour of text without its background. Long words (a SHA, a link) wrap; other words do not
break. `tests/channels/email/test_look.py` measures mails and pages in a browser.
"""

from __future__ import annotations

import html
from typing import Literal

Role = Literal["approve", "reject", "other"]

_FONT = "font-family:system-ui,-apple-system,arial,sans-serif;font-size:15px;line-height:1.45"
_COLOURS = "background-color:#ffffff;color:#1d1c1d"
_SHEET = f"max-width:600px;margin:0 auto;padding:16px;box-sizing:border-box;{_COLOURS};{_FONT};overflow-wrap:anywhere"
_BUTTON = (
    "display:inline-block;margin:4px 12px 8px 0;padding:10px 22px;border-radius:6px;font-weight:bold;"
    "text-decoration:none;border:2px solid "
)
_BUTTONS: dict[Role, str] = {
    "approve": f"{_BUTTON}#166534;background-color:#166534;color:#ffffff",
    "reject": f"{_BUTTON}#b91c1c;background-color:#ffffff;color:#b91c1c",
    "other": f"{_BUTTON}#57534e;background-color:#ffffff;color:#1d1c1d",
}
TABLE = "width:100%;table-layout:fixed;border-collapse:collapse;margin:8px 0"
DANGER = f"{TABLE};background-color:#fef2f2;color:#7f1d1d;border-left:4px solid #b91c1c;font-weight:bold"
WARNING = (
    "margin:8px 0;padding:8px;background-color:#fef2f2;color:#7f1d1d;border-left:4px solid #b91c1c;font-weight:bold"
)
NAME = "width:32%;text-align:left;vertical-align:top;padding:4px 12px 4px 8px;font-weight:bold"
VALUE = "text-align:left;vertical-align:top;padding:4px 8px;overflow-wrap:anywhere"
QUOTE = "margin:8px 0;padding:4px 12px;border-left:4px solid #a8a29e;white-space:pre-line"

_STYLE = """
:root { color-scheme: light dark; supported-color-schemes: light dark }
h1 { font-size: 19px; line-height: 1.3; margin: 0 0 8px } h2, h3 { font-size: 16px; margin: 12px 0 4px }
p { margin: 8px 0 } pre { white-space: pre-wrap } a { color: #1d4ed8 } small { color: #57534e }
th, td { border-bottom: 1px solid #d6d3d1 }
.sheet table table { margin: 0 }
@media (max-width: 480px) {
  .row th, .row td { display: block !important; width: auto !important; padding: 2px 8px !important }
  .row th { border-bottom: 0 } .row td { padding-bottom: 6px !important }
}
@media (prefers-color-scheme: dark) {
  body, .sheet { background-color: #18181b !important; color: #e7e5e4 !important }
  a { color: #93c5fd } small { color: #a8a29e } th, td { border-color: #44403c }
  .danger { background-color: #450a0a !important; color: #fecaca !important }
  .approve { background-color: #15803d !important; border-color: #15803d !important; color: #ffffff !important }
  .reject { background-color: #18181b !important; border-color: #f87171 !important; color: #fca5a5 !important }
  .other { background-color: #18181b !important; border-color: #a8a29e !important; color: #e7e5e4 !important }
  textarea { background-color: #27272a; color: #e7e5e4; border: 1px solid #78716c }
}
"""
_PAGE_STYLE = """
textarea { box-sizing: border-box; width: 100%; font: inherit; padding: 6px 8px } label { font-size: 14px }
button { font: inherit; font-weight: bold; cursor: pointer; padding: 10px 22px; border-radius: 6px; border: 2px solid }
.approve { background-color: #166534; border-color: #166534; color: #ffffff }
.reject { background-color: #ffffff; border-color: #b91c1c; color: #b91c1c }
.other { background-color: #ffffff; border-color: #57534e; color: #1d1c1d }
"""


def mail(title: str, body: str) -> str:
    return _document(title, body, _STYLE)


def page(title: str, body: str) -> str:
    return _document(title, body, _PAGE_STYLE + _STYLE)


def _document(title: str, body: str, style: str) -> str:
    """`title` is text, `body` is HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>"
        f'<body style="margin:0;padding:0;{_COLOURS}">\n'
        f'<div class="sheet" style="{_SHEET}">\n{body}\n</div>\n</body></html>\n'
    )


def link_button(words: str, url: str, role: Role) -> str:
    """`words` is text."""
    return f'<a class="{role}" style="{_BUTTONS[role]}" href="{html.escape(url)}">{html.escape(words)}</a>'


def submit_button(words: str, role: Role, attributes: str = "") -> str:
    return f'<button class="{role}"{attributes}>{html.escape(words)}</button>'
