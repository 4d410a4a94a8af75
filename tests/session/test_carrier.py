"""A session is a carrier, whole; so is the stand-in that exchanges are tested with."""

import pytest

from bide.session.carrier import Carrier
from bide.session.session import Session
from tests.support.carrier import StubCarrier


@pytest.mark.parametrize("kind", [Session, StubCarrier])
def test_carrier_of_each_kind_has_every_method(kind: type[Carrier]) -> None:
    assert Carrier.__abstractmethods__ >= {"settle", "answered", "content_left"}
    assert issubclass(kind, Carrier)
    assert kind.__abstractmethods__ == frozenset()


def test_carrier_without_its_methods_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Carrier()  # type: ignore[abstract]
