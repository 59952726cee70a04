"""What happened: events, the threads they form, and the stores that keep them."""
