"""What a random mix is no evidence of: one fault each, at exact moments, and often enough."""
