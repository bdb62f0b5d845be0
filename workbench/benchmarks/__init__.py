"""Benchmarks: the workbench beside its peers in one run, interleaved, on the same tensors. No models, no runs."""
