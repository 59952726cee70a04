"""Which images a model is shown, and what the prompt calls them."""

from __future__ import annotations

from agent.context.images import IMAGES_MAX, images_of
from agent.context.window import Context
from store.events import MessageReceived
from store.values import Attachment
from tests.telling.playbook import Desk, ops
from tests.telling.story import deleted, done, message, opened, thread


def with_image(number: int) -> MessageReceived:
    image = Attachment(name=f"screen-{number}.png", media_type="image/png", size_bytes=9, image=f"{number:064d}")
    return message(f"m{number}", "look at this", attachments=(image,))


def test_the_newest_images_are_shown_each_once_in_their_order() -> None:
    said = [with_image(n) for n in (1, 2, 3, 4, 5)]
    again = with_image(2).model_copy(update={"id": "m6"})
    shown = [image.image for image in images_of(thread(*said, again))]
    assert shown == [f"{n:064d}" for n in (3, 4, 5, 2)]
    assert len(shown) == IMAGES_MAX


def test_an_image_that_its_author_took_back_is_not_shown() -> None:
    assert images_of(thread(with_image(1), deleted("m1"))) == []
    read = images_of(thread(with_image(1), done("s1"), deleted("m1")))
    assert [image.name for image in read] == ["screen-1.png"], "the model has seen it"


def test_the_prompt_names_an_image_with_its_file() -> None:
    told = Context(ops(Desk([]))).render(thread(opened("ops"), with_image(7)))
    assert "images: |-\n image,name,size_bytes\n 00000000,screen-7.png,9\n" in told
    assert "unread_attachments" not in told
