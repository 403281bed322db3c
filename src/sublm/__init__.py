"""SubLM: fit pre-trained transformer language models into a budget."""
