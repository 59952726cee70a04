"""The email channel: threads by Message-ID, and senders verified by what our own mail server authenticated."""
