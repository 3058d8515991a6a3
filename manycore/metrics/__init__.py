"""What Prometheus scrapes: `manycore exporter`. It reads Redis alone, and asks no worker anything."""
