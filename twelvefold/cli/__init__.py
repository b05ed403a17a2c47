"""The command line: a few lines a command over functions that a program could call too."""
