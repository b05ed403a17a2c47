"""The parts of a review: what changed, what is wrong with it, what analyzers say, and how it is shown."""
