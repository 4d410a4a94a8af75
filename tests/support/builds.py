"""Which build of bide is tested: compiled or interpreted."""

import pytest

from bide import exchange as contract


def require_interpreted() -> None:
    """Skip the test file that is being imported if bide is compiled.

    A stand-in is an interpreted subclass of a contract, and mypyc makes no instances of one whose base class is compiled.
    """
    if not str(contract.__file__).endswith(".py"):
        pytest.skip("a compiled contract has no interpreted stand-ins", allow_module_level=True)
