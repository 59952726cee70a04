"""A thread as text, as JSON and as a record that can be verified, for every face. It reads threads and changes none."""
