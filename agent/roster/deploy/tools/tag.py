"""The tool that pushes a tag to a repository at GitHub, for teams whose pipelines deploy by tag."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, JsonValue

from agent import Call, Facts, Tool, ToolError
from agent.roster.deploy.repository import is_revision_text
from agent.roster.deploy.targets import Targets
from agent.roster.deploy.tools.rows import FOR_PEOPLE, LABELS, in_short, shown

NAME_PATTERN = "^[0-9A-Za-z._/+@#-]+$"


class PushTag(Tool):
    """Push a tag to a component's repository, at exactly this revision. Approved by a person first; code asks them."""

    component: str
    name: str = Field(description="of the new tag", json_schema_extra={"pattern": NAME_PATTERN})
    revision: str = Field(description="a tag, a branch or a SHA", json_schema_extra={"pattern": NAME_PATTERN})

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    repeatable: ClassVar[bool] = True
    """A tag that is there already, at the same commit, is what was asked for."""
    doing: ClassVar[str] = "is pushing a tag"
    for_people: ClassVar[frozenset[str]] = FOR_PEOPLE
    on_cards: ClassVar[Mapping[str, str]] = {"tag": "tag", "repository": "in the repository", **LABELS}

    def needs_approval(self) -> bool:
        return True

    def bound_to(self, call: Call) -> Mapping[str, JsonValue]:
        return {"repository": call.need(Targets).config.components[self.component].source}

    def title(self, facts: Facts) -> str:
        return f"Push the tag {facts['tag']} of {self.component} at {in_short(facts['new'])}"

    async def prepare(self, call: Call) -> Facts:
        targets = call.need(Targets)
        repository = targets.repository(self.component)
        if self.name.startswith("refs/") or not is_revision_text(self.name):
            raise ToolError(f"{self.name[:60]!r} is no name for a tag.")
        new = await repository.resolve(self.revision)
        for tag in await repository.tags():
            if tag.name == self.name and tag.sha != new.sha:
                raise ToolError(f"There is a tag {self.name} already, at {tag.short}.", hint="Ask for another name.")
        return {
            "tag": self.name,
            "repository": repository.name,
            "new": {**shown(new, targets, self.component), **({"ref": new.ref} if new.ref else {})},
        }

    async def run(self, call: Call) -> JsonValue:
        new = call.facts["new"]
        assert isinstance(new, dict)
        is_new = await call.need(Targets).repository(self.component).push_tag(self.name, str(new["sha"]))
        return {"tag": self.name, "commit": str(new["sha"])[:7], "was_there_already": not is_new}
