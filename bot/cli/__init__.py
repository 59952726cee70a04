"""The command line: what a person types, and what they read. There is one file for each group of commands."""

from bot.cli.main import main

__all__ = ["main"]
