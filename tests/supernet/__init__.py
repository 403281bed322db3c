"""The contract suite: what every model family has to fulfil."""
