"""Speaks HTTP/1.1: octets to messages and back. No I/O, no time, no tasks, no logging."""
