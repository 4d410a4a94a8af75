"""Counts and logs what happens. Decides nothing, and knows only the terms."""
