"""Level 1: pure folds of the log into read models."""
