"""What is measured of a peer, in its own process, with the standard library alone."""
