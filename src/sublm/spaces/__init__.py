"""Sub-networks and the spaces they are drawn from."""
