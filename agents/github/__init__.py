"""GitHub: issues read, a branch pushed, a draft pull request opened. Nothing else of it is touched."""
