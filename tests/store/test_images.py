"""Images are kept by their content, in every store."""

from __future__ import annotations

import base64

import pytest

from store.base import Store
from store.images import data_url_of, keep, media_type_of

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 300


async def test_an_image_is_kept_once_and_found_by_its_content(store: Store) -> None:
    image_id = await keep(store, PNG)
    assert await keep(store, PNG) == image_id
    assert await keep(store, PNG + b"x") != image_id
    assert await data_url_of(store, image_id) == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert await data_url_of(store, "0" * 64) == ""


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0JFIF", "image/jpeg"),
        (b"GIF89a...", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", ""),
        (b"<svg xmlns=...>", ""),
        (b"<!DOCTYPE html>", ""),
        (b"", ""),
    ],
)
def test_the_content_says_what_it_is(content: bytes, kind: str) -> None:
    assert media_type_of(content) == kind
