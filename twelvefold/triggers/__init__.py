"""What starts runs by itself: files that appear in folders, and times of the clock. All of it is in the log."""
