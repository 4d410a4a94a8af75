"""Turns octets into messages and back, by RFC 6455; no module here does I/O or reads a clock."""
