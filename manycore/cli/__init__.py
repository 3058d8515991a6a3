"""The command `manycore`."""
