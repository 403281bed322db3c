"""Training super-networks and ordinary models: the loop, strategies, distillation, checkpoints."""
