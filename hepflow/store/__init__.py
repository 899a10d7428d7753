"""The run store: the only state that matters. One SQLite file, one writer a run, many readers."""
