"""What is known of a worker."""

from typing import cast

from bide.policy.recycling import WorkerLimits
from bide.supervisor.fleet import Member
from bide.supervisor.process import Process


def test_members_share_nothing() -> None:
    one, other = (Member(cast(Process, None), 1, WorkerLimits()) for _ in range(2))
    one.urls.append("http://x")
    assert other.urls == []
    assert other.snapshot == {}
