"""The embedded policy: a small language model of house rules, its corpus, its training script and its weights."""
