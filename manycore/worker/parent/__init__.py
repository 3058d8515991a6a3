"""What runs in a worker's parent process: it takes messages in, keeps their leases, and notices deaths."""
