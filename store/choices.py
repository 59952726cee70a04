"""The event of a model that was asked and returned no usable step, with what helps it to do better."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from store.recorded import Recorded
from store.values import Usage


class ChoiceFailed(Recorded):
    """The model was asked and returned no usable step."""

    kind: Literal["choice_failed"] = "choice_failed"
    reason: Literal["invalid", "refused", "truncated", "unavailable", "outdated"]
    """`outdated`: the step was usable, but the thread had moved in the meantime. Not counted as an error."""
    error: str = ""
    answer: str = ""
    """The beginning of what it answered instead. The model reads it again. Older logs: empty."""
    hint: str = ""
    """What a right answer looks like, for the model. Older logs: empty."""
    retry_at: AwareDatetime | None = None
    """When to ask again (the endpoint is down or rate-limits); None: at once."""
    counted: bool = True
    """Whether it is one of the errors in a row. An unavailable model is none: time limits it. Older logs count it."""
    model: str = ""
    usage: Usage | None = None
