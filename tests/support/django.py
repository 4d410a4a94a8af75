"""Configures Django, which a process does once."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def settings(**options: Any) -> Iterator[None]:
    """Have Django use these settings. Other tests of the process may have other ones."""
    configured: Any = importlib.import_module("django.conf").settings
    if not configured.configured:
        configured.configure(SECRET_KEY="test", ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None)
    override: Any = importlib.import_module("django.test.utils").override_settings
    with override(ALLOWED_HOSTS=["*"], DEBUG=False, MIDDLEWARE=[], **options):
        yield
