"""Brings exchanges to applications; no gateway sees a connection or a socket."""
