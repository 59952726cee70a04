"""What a caller of the HTTP API may ask of the list of threads, as query parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from channels import places
from store.pages import Cursor
from store.rows import Filter, Row
from store.status import ThreadStatus, Turn

LIMIT_MAX = 500


def _cursor(text: str) -> str:
    Cursor.parse(text)
    return text


class Wanted(BaseModel):
    """The list shows the threads for which all of this holds."""

    status: ThreadStatus | None = Field(None, description="Only threads with this status.")
    turn: Turn | None = Field(None, description="Only threads in which it is their turn.")
    agent: str = Field("", description="Only threads of this agent.")
    requester: str = Field("", description="Only threads that this person began: a name, or an address.")
    place: str = Field("", description="Only threads there: `channel`, or `channel:` and how the address begins.")
    changed_after: AwareDatetime | None = Field(None, description="Only threads with an event since then.")
    changed_before: AwareDatetime | None = Field(None, description="Only threads with no event since then.")
    limit: int = Field(50, ge=1, le=LIMIT_MAX, description="The longest page.")
    after: Annotated[str, AfterValidator(_cursor)] = Field(
        "", description="`next` of the page before, with the same filters: the list goes on there."
    )

    def filter(self, sees: Callable[[Row], bool]) -> Filter:
        """`sees`: whether the caller may see a thread."""
        channel, address = places.split(self.place)
        return Filter(
            statuses=frozenset({self.status} if self.status else ()),
            turn=self.turn,
            agent=self.agent,
            requester=self.requester,
            channel=channel,
            address=address,
            changed_after=self.changed_after,
            changed_before=self.changed_before,
            sees=sees,
        )
