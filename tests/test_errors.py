"""Checks what errors hold, and of which kind they are."""

from bide.errors import Misuse, Rejected


def test_rejected_has_status_and_detail() -> None:
    rejected = Rejected(431, "too many field lines")
    assert (rejected.status, rejected.detail, str(rejected)) == (431, "too many field lines", "too many field lines")


def test_misuse_is_a_runtime_error_and_rejected_is_not() -> None:
    """Rejected stays within the core. An application may catch Misuse as a RuntimeError."""
    assert issubclass(Misuse, RuntimeError)
    assert not issubclass(Misuse, Rejected)
    assert not issubclass(Rejected, (Misuse, RuntimeError))
