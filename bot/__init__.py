"""The program: settings, wiring, workers, CLI."""
