"""What a log says of a server that is waited for."""

from __future__ import annotations

import pytest
import redis

from manycore.errors import ConnectionFailed, ServerFull
from manycore.protocol.patience import OF_CLIENTS, OF_WORKERS, Patience, Trouble
from manycore.protocol.settings import load_settings


@pytest.mark.parametrize(("trouble", "ends"), [(OF_CLIENTS, ServerFull), (OF_WORKERS, ConnectionFailed)])
@pytest.mark.parametrize(
    ("error", "word"), [(redis.OutOfMemoryError("used memory > 'maxmemory'"), "full"), (redis.TimeoutError(), "away")]
)
def test_a_full_server_is_called_full_at_both_ends(
    trouble: Trouble, ends: type[Exception], error: Exception, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker waits for it as for one that is away; who reads its log makes room, and restarts nothing."""

    def refused() -> None:
        raise error

    patience = Patience(load_settings(url="redis://127.0.0.1:1"), lambda _: True, trouble)
    with pytest.raises(ends if word == "full" else ConnectionFailed):
        patience.ride_out(refused)
    assert f"The server is {word} (" in caplog.text
