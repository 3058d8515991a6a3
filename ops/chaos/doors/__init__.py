"""The doors: every way into the cluster that a user has. Each file runs one as a client, and knows what is right."""
