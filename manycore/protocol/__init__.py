"""What both ends agree on: messages, keys, settings, and the books of a batch. It runs in clients and in workers."""
