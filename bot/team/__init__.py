"""What the team file says: people, policies, standing approvals, schedules, hours, routes, agents.

It takes a `Team`, a folder and the names of the channels, never `Settings`, and imports nothing else of `bot`.
"""
