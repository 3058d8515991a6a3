"""What a caller's process runs: the faces that users hold, and behind them how items leave and outcomes arrive."""
