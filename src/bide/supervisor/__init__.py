"""Runs worker processes: starts, replaces and stops them. It never imports the application."""
