"""Finds out how many descriptors are in use."""

import os
import resource

from bide.worker.pressure import lowest_descriptor


def test_lowest_descriptor_with_others_taken_is_after_the_gaps() -> None:
    """Descriptors that others are about to take fill the gaps first."""
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(5)]
    try:
        gap = held.pop(1)
        os.close(gap)
        assert lowest_descriptor() == gap
        assert lowest_descriptor(1) > max(held)
        assert lowest_descriptor() == gap, "nothing is left open"
    finally:
        for fd in held:
            os.close(fd)


def test_lowest_descriptor_with_none_free_is_the_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = lowest_descriptor()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, hard))
    try:
        assert lowest_descriptor() == free
        assert lowest_descriptor(1) == free + 1
        assert lowest_descriptor() == free, "nothing is left open"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
