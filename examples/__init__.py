"""Programs to read and to run: `python -m examples.demo`, `python examples/quickstart.py`, and so on."""
