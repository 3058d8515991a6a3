"""What manycore is measured against: a peer a file. Nothing here imports a peer's package before it is opened."""
