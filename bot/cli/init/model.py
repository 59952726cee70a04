"""The part of `bot init` about the model: an endpoint that speaks the OpenAI API, or the stand-in, to try it out."""

from __future__ import annotations

from agent.model.base import STAND_IN
from bot.app import model_problems
from bot.cli.init.dialogue import Dialogue
from bot.cli.init.part import Part
from bot.cli.model_checks import check_models
from bot.settings import Settings
from bot.setup import Setup


async def _ask(dialogue: Dialogue, setup: Setup) -> dict[str, str]:
    settings = setup.settings
    dialogue.explain(
        f"Any endpoint that speaks the OpenAI API will do. To look around without one, type {STAND_IN}: it is no "
        "model, and matches a few keywords."
    )
    name = await dialogue.answer("--model", "The model's name", settings.openai_model)
    if name == STAND_IN:
        return {"OPENAI_MODEL": name}
    url = await dialogue.answer("--base-url", "Its endpoint", settings.openai_base_url, needed=False)
    has_key = bool(settings.openai_api_key.get_secret_value())
    key = await dialogue.secret("OPENAI_API_KEY", "The key", is_set=has_key)
    usual = str(Settings.model_fields["openai_base_url"].default)
    return {
        "OPENAI_MODEL": name,
        "OPENAI_BASE_URL": "" if url == usual == settings.openai_base_url else url,
        "OPENAI_API_KEY": key,
    }


def _shown(settings: Settings) -> str:
    if settings.openai_model == STAND_IN:
        return f"{STAND_IN}, which is no model"
    return f"{settings.openai_model} at {settings.openai_base_url}"


MODEL = Part(
    name="model",
    title="The model",
    options=("--model", "--base-url"),
    is_set_up=lambda settings: settings.has_model,
    shown=_shown,
    ask=_ask,
    problems=model_problems,
    check=check_models,
)
