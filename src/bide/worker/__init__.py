"""Keeps the connections of one process: admits them, sweeps their clocks, drains them."""
