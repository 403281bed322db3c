"""What a sub-network costs: parameters, multiply-accumulates (MACs), latency."""
