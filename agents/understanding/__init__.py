"""Understanding an issue: of what kind it is, what it asks for and where, what it lacks, and whether to act on it."""
