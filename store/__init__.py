"""What happened: the events, the threads that they form, and where they are kept."""
