"""The worker's side of the protocol, on Celery's own extension points. Clients never import it."""
