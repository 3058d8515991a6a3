"""What runs in a worker's child process: it runs the items of chunks, and carries their outcomes away."""
