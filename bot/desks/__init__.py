"""What only the program knows about a channel: a file for each. It finds threads and hands over to the inbox."""
