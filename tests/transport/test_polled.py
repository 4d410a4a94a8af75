"""The contract of wires that are watched: real ones are whole."""

from bide.transport.polled import PolledWire
from bide.transport.stream import SocketWire


def test_wire_of_a_socket_has_every_method() -> None:
    assert PolledWire.__abstractmethods__ >= {"readable", "writable", "send_held", "report_lost", "report_failure"}
    assert issubclass(SocketWire, PolledWire)
    assert SocketWire.__abstractmethods__ == frozenset()
