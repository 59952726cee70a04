"""What failures have in common whose message is for people. Each of them is defined where it arises, not here."""

from __future__ import annotations


class Explained(Exception):
    """The message says what is wrong, and what to do. A command prints it and ends with exit code 1."""
