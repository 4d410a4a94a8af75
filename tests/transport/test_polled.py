"""The contract of wires that are watched: real ones are whole."""

from bide.transport.polled import PolledWire
from bide.transport.stream import SocketWire
from bide.wire import Wire

#: What a wire that is watched does besides the orders of every wire.
OWN = {"readable", "writable", "send_held", "report_lost", "report_failure"}


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_wire_of_a_socket_has_every_method() -> None:
    # Compiled classes share the cache in which `issubclass` looks, so that it may answer for another.
    assert PolledWire in SocketWire.__mro__
    assert public(PolledWire) == OWN
    assert public(SocketWire) >= OWN | public(Wire)
