"""Images that people sent, kept beside the threads by the hash of their content, so that each retry sees the same.

An event names an image by its id; it is durable before that event is. An image is never changed. This module does not
decide which images are kept, or who looks at them.
"""

from __future__ import annotations

import base64
import hashlib

from store.base import NoteStore

IMAGE_BYTES_MAX = 1_000_000
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def media_type_of(content: bytes) -> str:
    """As its first bytes say; empty: it is no image that models take."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for beginning, kind in _BEGINNINGS if content.startswith(beginning)), "")


async def keep(store: NoteStore, content: bytes) -> str:
    """The image's id. Durable when it returns. Raises StoreUnavailable."""
    image_id = hashlib.sha256(content).hexdigest()
    await store.set_note(_note(image_id), base64.b64encode(content).decode(), expected="")
    return image_id


async def data_url_of(store: NoteStore, image_id: str) -> str:
    """The image as a `data:` URL (RFC 2397); empty: it is not kept. Raises StoreUnavailable."""
    content = await store.get_note(_note(image_id))
    return f"data:{media_type_of(base64.b64decode(content[:32]))};base64,{content}" if content else ""


def _note(image_id: str) -> str:
    return f"image/{image_id}"
