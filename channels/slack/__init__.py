"""Slack as a channel: text both ways, and what it needs to be safe there."""
