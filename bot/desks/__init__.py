"""What only the program knows about a channel, one file for each. It finds threads and hands over to the inbox."""
