"""Level 1: the process that owns the log and speaks ZeroMQ, and its clients."""
