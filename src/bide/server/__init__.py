"""Runs a worker, as a program or within a program."""
