"""Moves octets. Knows nothing of HTTP."""
