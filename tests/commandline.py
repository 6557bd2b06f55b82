"""The command line of ``chat``, run within the test."""

import pytest

from chatd.client.main import main


def run(*arguments: str) -> int:
    """Run it to its end; return its exit status."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code
