"""Finding what repositories say about a question: the index, the search, passages that are cited and looked up."""
