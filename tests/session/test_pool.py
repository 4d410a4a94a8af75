"""Which connections have a protocol object."""

from bide.config import Config
from bide.http1.connection import Connection
from bide.http1.lifetime import IDLE, NEW
from bide.http1.response import CommonFields
from bide.session.pool import ConnectionPool
from bide.terms import DRAIN
from bide.worker.settings import limits
from tests.support.carrier import StubCarrier

#: Protocol objects that a pool keeps at most, and idle connections that are not parked.
MOST = 256


def pool() -> ConnectionPool:
    return ConnectionPool(limits(Config()), CommonFields())


def test_empty_pool_makes_a_connection() -> None:
    empty = pool()
    connection = empty.take(0, 0)
    assert connection.state is NEW
    assert connection.served == 0
    assert len(empty.free) == 0


def test_connection_put_back_is_lent_again_with_the_next_ones_past() -> None:
    lender = pool()
    connection = lender.take(0, 0)
    lender.put(connection)
    assert len(lender.free) == 1
    assert lender.take(0, 5) is connection
    assert (connection.state, connection.served) == (IDLE, 5)
    assert len(lender.free) == 0


def test_facts_of_a_connection_are_those_of_its_borrower() -> None:
    """A fact that held for one borrower must not close the next one's connection."""

    def answer(connection: Connection) -> bytes:
        connection.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.respond(204, [])
        connection.send(b"", False)
        return connection.take_output()

    lender = pool()
    first = lender.take(0, 0)
    lender.put(first)
    draining = lender.take(DRAIN, 1)
    assert b"\r\nConnection: close\r\n" in answer(draining)
    other = lender.take(0, 0)
    assert b"Connection" not in answer(other)
    lender.put(other)
    assert b"Connection" not in answer(lender.take(0, 1))


def test_connections_taken_at_once_are_different() -> None:
    lender = pool()
    first, second = lender.take(0, 0), lender.take(0, 0)
    lender.put(first)
    lender.put(second)
    lent = [lender.take(0, 1) for _ in range(3)]
    assert len({id(connection) for connection in lent}) == 3
    assert {id(connection) for connection in lent} > {id(first), id(second)}


def test_full_pool_keeps_no_more() -> None:
    lender = pool()
    connections = [lender.take(0, 0) for _ in range(MOST + 10)]
    for connection in connections:
        lender.put(connection)
    assert len(lender.free) == MOST
    lent = [lender.take(0, 1) for _ in range(MOST + 1)]
    assert len({id(connection) for connection in lent}) == MOST + 1
    assert sum(connection in connections for connection in lent) == MOST


def test_connection_that_became_idle_parks_once_as_many_others_have() -> None:
    lender = pool()
    carriers = [StubCarrier() for _ in range(2 * MOST)]
    for carrier in carriers[:MOST]:
        lender.became_idle(carrier)
    assert [carrier.told for carrier in carriers] == [[]] * 2 * MOST
    for count, carrier in enumerate(carriers[MOST:], 1):
        lender.became_idle(carrier)
        assert [carrier.told for carrier in carriers] == [["park"]] * count + [[]] * (2 * MOST - count)
