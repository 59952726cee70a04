"""Fetches the images of a message from Slack, for models that look at images.

An image that is too large is fetched as the preview that Slack made of it. The content decides whether it is an image,
not what the payload says of it. What cannot be read in time is left out: the message says that there was a file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from channels.slack.calls import call_or
from channels.slack.downloads import Download
from channels.slack.seen import File
from store.images import IMAGE_BYTES_MAX, media_type_of

IMAGES_READ_MAX = 3
"""Of one message."""

Keep = Callable[[bytes], Awaitable[str]]
"""Keeps an image, and returns its id. Raises StoreUnavailable."""


async def read_images(files: Sequence[File], download: Download, keep: Keep | None) -> dict[str, str]:
    """The ids of the images that are kept now, by file id. `keep`: None reads none. Raises StoreUnavailable."""
    if keep is None:
        return {}
    images = [file for file in files if file.media_type.startswith("image/")][:IMAGES_READ_MAX]
    contents = await asyncio.gather(*(call_or("the image", _content(file, download), b"") for file in images))
    read = [(file.id, content) for file, content in zip(images, contents, strict=True) if media_type_of(content)]
    return {file_id: await keep(content) for file_id, content in read}


async def _content(file: File, download: Download) -> bytes:
    url = file.url if 0 < file.size_bytes <= IMAGE_BYTES_MAX else file.preview_url
    return await download(file.id, url, bytes_max=IMAGE_BYTES_MAX) if url else b""
