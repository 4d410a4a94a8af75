"""What operators see: counters, logs. Fed by the worker; knows only the terms."""
