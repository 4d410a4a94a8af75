"""Who was wrong, and what is said of it."""

from bide.errors import Misuse, Rejected


def test_rejected() -> None:
    rejected = Rejected(431, "too many field lines")
    assert (rejected.status, rejected.detail, str(rejected)) == (431, "too many field lines", "too many field lines")


def test_misuse_is_no_rejection() -> None:
    """Rejected stays inside the core; an application may catch Misuse as the RuntimeError that it is."""
    assert issubclass(Misuse, RuntimeError)
    assert not issubclass(Misuse, Rejected)
    assert not issubclass(Rejected, (Misuse, RuntimeError))
