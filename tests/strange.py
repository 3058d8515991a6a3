"""What JSON and `float` take for numbers, and nobody of ours writes."""

NONE_OF_OURS = (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1e300", b"-1e300", b"9" * 400, b"1" * 5000)
