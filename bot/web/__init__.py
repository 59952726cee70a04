"""What a process with the role `web` runs: the HTTP server with its API and pages, and the channels' listeners."""
