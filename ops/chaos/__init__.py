"""The chaos driver: a batch with a known answer, while everything around it is killed, stopped, cut and lied to."""
