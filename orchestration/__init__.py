"""Level 2: plans, deciders, the process manager, and the supervisor of processes."""
