"""A carrier as an exchange sees it, played by a test."""

from bide.session.carrier import Carrier
from tests.support.builds import require_interpreted
from tests.support.managed import NOBODY, StubConnection

require_interpreted()


class StubCarrier(Carrier, StubConnection):
    """Keeps what it is told.

    told: "settle", "answered" and "content_left", in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peer = NOBODY
        self.local = ("192.0.2.2", 80)
        self.scheme = "http"
        self.is_reading = True
        self.is_write_paused = False
        self.is_gathering = False
        self.is_serving = False
        self.told: list[str] = []

    def settle(self) -> None:
        self.told.append("settle")

    def answered(self) -> None:
        self.told.append("answered")

    def content_left(self) -> None:
        self.told.append("content_left")
