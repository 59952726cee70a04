"""The agent and the tool that `bot new` copies: their own tests, where they stand."""

from __future__ import annotations

from bot.cli.new.newcomer.test_agent import (
    test_a_disk_that_is_not_there_is_said,
    test_a_note_is_approved_first_and_written_once,
    test_code_looks_before_the_model_is_asked,
    test_it_tells_how_much_is_free,
    test_what_is_misspelt_in_the_team_file_is_an_error,
)
from bot.cli.new.newcomer.test_do_something import (
    test_it_is_approved_first_and_then_done,
    test_what_is_not_known_is_refused_before_people_are_asked,
)

__all__ = [
    "test_a_disk_that_is_not_there_is_said",
    "test_a_note_is_approved_first_and_written_once",
    "test_code_looks_before_the_model_is_asked",
    "test_it_is_approved_first_and_then_done",
    "test_it_tells_how_much_is_free",
    "test_what_is_misspelt_in_the_team_file_is_an_error",
    "test_what_is_not_known_is_refused_before_people_are_asked",
]
