"""All doors by their names. The client and the driver share this list: one runs them, the other judges."""

from __future__ import annotations

from ops.chaos.doors import (
    attaching,
    cancelling,
    deleting,
    detaching,
    fleet,
    fragiles,
    futures,
    large,
    limits,
    maps,
    named,
    plain,
    retries,
    rows,
    unnamed,
)
from ops.chaos.doors.door import Door

DOORS: dict[str, Door] = {
    door.name: door
    for door in (
        named.DOOR,
        futures.DOOR,
        rows.DOOR,
        maps.DOOR,
        unnamed.DOOR,
        retries.DOOR,
        limits.DOOR,
        fragiles.DOOR,
        large.DOOR,
        fleet.DOOR,
        plain.DOOR,
        attaching.DOOR,
        detaching.DOOR,
        deleting.DOOR,
        cancelling.CANCEL,
        cancelling.TERMINATE,
    )
}
