"""Level 3: agents, their processes, tools and workspaces."""
