"""Serves one connection: brings its wire, its protocol and its exchanges together."""
