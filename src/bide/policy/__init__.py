"""Decides, by pure functions over facts. No message, socket, clock or task is known here."""
