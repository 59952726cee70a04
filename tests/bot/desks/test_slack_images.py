"""Images that people attach in Slack, for models that look at images."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from agent.model.base import Answer, Prompt
from channels.slack.downloads import Downloads
from store.authority.words import words_behind
from store.events import MessageReceived
from store.images import IMAGE_BYTES_MAX
from store.thread import Thread
from store.values import Attachment
from tests.bot.desks.office import Office, kinds, new_office
from tests.fakes.slack import File
from tests.telling.playbook import ScriptedModel, done

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 100
HUGE = b"\x89PNG\r\n\x1a\n" + b"pixels" * (IMAGE_BYTES_MAX // 6)


class LookingModel(ScriptedModel):
    """Remembers the images of its prompts."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[str]] = []

    async def answer(self, prompt: Prompt) -> Answer:
        self.seen.append([await image.data_url() for image in prompt.images])
        return await super().answer(prompt)


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        it.model, it.reads_images = LookingModel(), True
        yield it


async def sent(office: Office, *files: File) -> Thread:
    """Somebody sends these files, and is answered."""
    office.model.answers(done("I see."))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "what is this?", files=files)
        return await office.until(asked, "done")


def attached(thread: Thread) -> list[Attachment]:
    [message] = kinds(thread, MessageReceived)
    assert isinstance(message, MessageReceived)
    return list(message.attachments)


async def test_an_image_is_shown_to_the_model_and_kept_for_every_retry(office: Office) -> None:
    assert isinstance(office.model, LookingModel)
    file = office.slack.workspace.add_file("ana", "screen.png", PNG, "image/png")
    thread = await sent(office, file)
    [image] = attached(thread)
    assert image.image == hashlib.sha256(PNG).hexdigest()
    [[url]] = office.model.seen
    assert url.startswith("data:image/png;base64,iVBOR")
    assert f"{image.image[:8]},screen.png" in office.model.prompts[0]
    assert words_behind(thread, thread.state.current).doubts == ("a file from ana@example.com",)


async def test_a_large_image_is_shown_as_slacks_preview_of_it(office: Office) -> None:
    file = office.slack.workspace.add_file("ana", "screen.png", HUGE, "image/png", preview=PNG)
    [image] = attached(await sent(office, file))
    assert image.image == hashlib.sha256(PNG).hexdigest()


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(HUGE, "image/png"), (b"<svg/>", "image/svg+xml"), (b"<!DOCTYPE html>", "image/png"), (PNG, "application/zip")],
)
async def test_what_is_no_image_that_models_take_is_only_said_to_be_there(
    office: Office, content: bytes, media_type: str
) -> None:
    assert isinstance(office.model, LookingModel)
    thread = await sent(office, office.slack.workspace.add_file("ana", "screen", content, media_type))
    [file] = attached(thread)
    assert (file.image, office.model.seen) == ("", [[]])
    assert "unread_attachments" in office.model.prompts[0]
    assert words_behind(thread, thread.state.current).doubts == ()


async def test_without_a_model_that_looks_at_images_none_is_fetched(office: Office) -> None:
    office.reads_images = False
    [file] = attached(await sent(office, office.slack.workspace.add_file("ana", "screen.png", PNG, "image/png")))
    assert file.image == ""


async def test_without_the_scope_for_files_the_message_is_answered_all_the_same(office: Office) -> None:
    office.slack.scopes.discard("files:read")
    [file] = attached(await sent(office, office.slack.workspace.add_file("ana", "screen.png", PNG, "image/png")))
    assert file.image == ""


async def test_our_token_goes_to_slack_alone(office: Office) -> None:
    download = Downloads(office.client)
    for url in ("https://evil.example/a.png", "http://files.slack.com/a.png", "file:///etc/passwd", ""):
        assert await download("F1", url, bytes_max=9) == b""
