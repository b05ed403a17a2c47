"""Level 0: the event, the append-only log and all that keeps it true. Knows nothing of any other package."""
