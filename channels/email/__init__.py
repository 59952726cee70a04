"""Mail as a channel: threads by Message-ID, and who wrote what as far as our own server vouches for it."""
