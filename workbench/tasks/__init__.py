"""Tasks and environments: an attempt's text in, a reward and feedback out. Knows nothing of models."""
