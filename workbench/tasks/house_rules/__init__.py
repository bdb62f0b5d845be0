"""House rules: short specifications that leave conventions open, houses that fix them, and their checker."""
