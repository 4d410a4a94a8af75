"""The contract between the poller of a worker and the wires that it watches."""

from __future__ import annotations

from abc import abstractmethod

from bide.wire import Wire


class PolledWire(Wire):
    """A wire over a descriptor that a poller watches."""

    __slots__ = ()

    @abstractmethod
    def readable(self) -> None:
        """Take the news that octets, EOF or an error can be read."""

    @abstractmethod
    def writable(self) -> None:
        """Take the news that the kernel takes octets again."""

    @abstractmethod
    def send_held(self) -> None:
        """Send what is held back."""

    @abstractmethod
    def report_lost(self) -> None:
        """Report `lost` to the receiver."""

    @abstractmethod
    def report_failure(self) -> None:
        """Have the receiver end the connection: the exception being handled is an error in bide."""
