"""Compares manycore's local cluster with the standard library's process pool, on this machine, in one run."""
