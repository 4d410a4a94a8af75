"""Reads what fields mean, by pure functions: RFC 9110 and its kin, whatever HTTP they came by."""
