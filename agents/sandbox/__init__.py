"""The sandbox of agents: what files a process, and all that it starts, may read and write. Linux's Landlock."""
