"""Keeps the connections of one process."""
