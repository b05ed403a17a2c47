"""Replay: agents' handlers run again on what was recorded, in a process that can change nothing."""
