"""The private cluster of one machine: a server and a worker, tied to the process that wants them."""
