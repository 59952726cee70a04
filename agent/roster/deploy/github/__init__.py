"""GitHub, as deploybot uses it: its API, what a workflow must say, and a component's repository there."""
