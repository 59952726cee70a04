"""The text of a file, as GitHub's API has it."""

from __future__ import annotations

import base64
import binascii

from agent import ToolError
from agent.roster.deploy.github.shapes import File


def text_of(file: File) -> str:
    """Raises ToolError."""
    try:
        return base64.b64decode(file.content).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        raise ToolError("GitHub's answer with the file cannot be read.") from None
