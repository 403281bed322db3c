"""Multi-objective search over the sub-networks of a trained super-network."""
