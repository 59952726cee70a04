"""What other services post to `/hooks/NAME`: proven, kept, and put into the right thread once."""
