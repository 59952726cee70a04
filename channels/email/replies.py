"""What somebody wrote anew, apart from what the mail quotes; and whether those words decide a request. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

import html2text

_APPROVE = re.compile(r"(?:i )?approved?[.!]*", re.IGNORECASE)
_REJECT = re.compile(
    r"(?:i )?reject(?:ed)?(?:[.!]*|\s*(?:[:,;.!–—-]|\n)\s*(?P<reason>\S.*))", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Verdict:
    approved: bool
    reason: str = ""


def verdict(text: str) -> Verdict | None:
    """Only words that cannot mean anything else decide: `approve`, or `reject` and why. None: it is a message.

    `approve, but only staging` is a message, and so is `don't approve`.
    """
    text = text.strip()
    if _APPROVE.fullmatch(text):
        return Verdict(True)
    if found := _REJECT.fullmatch(text):
        return Verdict(False, (found["reason"] or "").strip())
    return None


def split(body: str) -> tuple[str, str]:
    """(the new text, the rest): what is quoted, and a signature."""
    lines = body.split("\n")
    for index, line in enumerate(lines):
        if line.startswith(">") or line == "-- " or re.fullmatch(r"On .* wrote:", line.strip()):
            return "\n".join(lines[:index]).strip(), "\n".join(lines[index:]).strip()
    return body.strip(), ""


def text_of_html(html: str) -> str:
    maker = html2text.HTML2Text(bodywidth=0)
    maker.ignore_images = True
    return maker.handle(html).strip()
