"""What every event has: a kind, an id, the time, and the version of the schema.

The kinds are in `store.events`. This module knows none of them.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field

from store.text import without_half_surrogates
from store.values import Fact

SCHEMA_VERSION = 2
"""The newest version that this program reads. Raise it when an older reader would misunderstand a new event, not when a
field is added: an older worker then leaves the thread to a newer one.
"""


def _storable(value: Any) -> Any:
    return without_half_surrogates(value) if isinstance(value, str) else value


_Id = Annotated[str, Field(min_length=1, max_length=512)]


class Recorded(Fact):
    """The fields of every event."""

    kind: str
    # Some ids come from outside (a Message-ID, say). The id in the log must equal the one that deduplicates. Python is
    # asked only for an id that is no good text: every event is validated as it is made, and as it is read.
    id: Annotated[_Id | Annotated[_Id, BeforeValidator(_storable)], Field(union_mode="left_to_right")]
    at: AwareDatetime
    """When it was recorded, by the clock of the recording machine."""
    v: int = 1
    """The oldest version of the schema that understands the event, so that as few as possible need a newer reader."""


class Acted(Recorded):
    """What a person does by a button too."""

    click: str = ""
    """The ClickArrived by which they did it, when it was judged. Empty: they did it then and there. Older logs: empty.
    """
