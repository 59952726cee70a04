"""A push that waits for approval: how many dialogues begin."""

from __future__ import annotations

from agent.steps import Step
from tests.telling.playbook import Push, World

PROD = Push(target="prod")
STAGING = Push(target="staging")


async def asked_to_push(world: World, *later: Step) -> None:
    """Ann asks for a push, and its card is out."""
    world.model.answers(PROD, *later)
    await world.say("push to prod, please")
    assert await world.run() == ["requested: push(target: prod)"]
