"""Bring exchanges to applications. See exchanges, never a connection or a socket."""
