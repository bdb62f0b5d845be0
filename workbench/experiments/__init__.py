"""Experiments: many rounds or many attempts, built on the session's public methods alone."""
