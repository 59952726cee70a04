"""Views of a thread: text, JSON, and a verifiable record. They change no thread."""
