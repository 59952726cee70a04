"""The team file: people, policies, standing approvals, schedules, hours, routes, agents.

These modules get a `Team`, a folder and the names of the channels, never `Settings`, and import nothing else of `bot`.
"""
