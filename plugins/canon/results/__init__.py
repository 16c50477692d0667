"""Results: what a finished pipeline made, how it is logged, and how its row gets its commit."""
