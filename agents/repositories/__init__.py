"""Several repositories: which there are and how they stand, what is permitted in each, and work that spans them."""
