"""Code style for the SDPO Workbench: programs must use some words and avoid others."""
