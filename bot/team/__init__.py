"""The team file: people, rules, standing approvals, schedules, hours, routes, agents.

These modules get a `Team`, a folder and the names of the channels, never `Settings`, and import nothing else of `bot`.
"""
