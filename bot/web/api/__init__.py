"""The HTTP API: threads for programs, as JSON and as a stream of events."""
