"""Queries that a channel asks of the program, one file per channel. They read threads and write nothing."""
