"""The stack's first start: makes its secrets."""
