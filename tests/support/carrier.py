"""A carrier as an exchange sees it, and a tunnel as a carrier sees it, played by a test."""

import os

from bide.exchange import Tunnel, TunnelEnd
from bide.session.carrier import Carrier
from bide.terms import CloseReason, Security
from bide.wire import FILE_ENDED
from tests.support.builds import require_interpreted
from tests.support.managed import NOBODY, StubConnection

require_interpreted()


class StubCarrier(Carrier, StubConnection):
    """Keeps what it is told.

    told: the names of the calls of its own contract, in order.
    tunnel: what takes the octets after a switch; None before.
    received: octets that came before the switch.
    written: octets sent through the tunnel.
    file_octets: octets of files that were sent.
    space: octets of files that the kernel takes.
    share: octets of them that it takes at once.
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
        self.tunnel: Tunnel | None = None
        self.received = b""
        self.written = b""
        self.file_octets = b""
        self.space = 1 << 30
        self.share = 1 << 30

    def security(self) -> Security | None:
        return None

    def settle(self) -> None:
        self.told.append("settle")

    def answered(self) -> None:
        self.told.append("answered")

    def release_head(self) -> None:
        self.told.append("release_head")

    def send_file(self, file: int, offset: int, count: int) -> int:
        self.told.append(f"send_file {offset} {count}")
        sent = os.pread(file, min(count, self.space, self.share), offset)
        self.space -= len(sent)
        self.file_octets += sent
        return len(sent) or (FILE_ENDED if self.space else 0)

    def switched(self, tunnel: Tunnel, received: bytes) -> None:
        self.told.append("switched")
        self.tunnel = tunnel
        self.received = received

    def tunnel_written(self, data: bytes) -> None:
        self.told.append("tunnel_written")
        self.written += data

    def tunnel_reading(self, is_wanted: bool) -> None:
        self.told.append(f"tunnel_reading {is_wanted}")

    def tunnel_closed(self, reason: CloseReason) -> None:
        self.told.append(f"tunnel_closed {reason.value}")

    def content_left(self) -> None:
        self.told.append("content_left")

    def park(self) -> None:
        self.told.append("park")


class StubTunnel(Tunnel):
    """Keeps what it is told: the names of the calls, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def opened(self, end: TunnelEnd) -> None:
        self.told.append("opened")

    def octets_received(self, data: bytes) -> None:
        self.told.append("octets_received")

    def ready(self) -> None:
        self.told.append("ready")

    def introduced(self) -> None:
        self.told.append("introduced")

    def rejected(self, reason: CloseReason, detail: str, is_plain: bool) -> None:
        self.told.append("rejected")

    def eof_received(self) -> None:
        self.told.append("eof_received")

    def write_paused(self) -> None:
        self.told.append("write_paused")

    def write_resumed(self) -> None:
        self.told.append("write_resumed")

    def drain(self) -> None:
        self.told.append("drain")

    def closed(self) -> None:
        self.told.append("closed")
