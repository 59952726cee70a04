"""The channels: how people reach the agents, and how the agents reach people."""
