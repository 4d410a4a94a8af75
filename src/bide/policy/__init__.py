"""Decides. Pure functions over facts: no message, no socket, no clock, no task is known here."""
