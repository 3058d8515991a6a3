"""What runs in the pictures of the docs (`pictures`): a user's module, which travels from a folder of its own."""

from __future__ import annotations

import logging
import os
import random
import signal
import time


def thumbnail(photo: int, *, size: tuple[int, int], quality: int) -> None:
    """A task of which some items fail."""
    time.sleep(random.lognormvariate(-4.6, 0.6))
    if photo % 37 == 5:
        raise OSError(f"image file is truncated: photo-{photo}.jpg")
    if photo % 211 == 7:
        raise ValueError(f"{size} is larger than the photo")


def caption(photo: int) -> None:
    """A task that says what it does."""
    print(f"photo-{photo}.jpg: reading")
    time.sleep(0.4)
    if photo % 5 == 3:
        logging.getLogger("captions").warning("photo-%d.jpg has no date", photo)
    print(f"photo-{photo}.jpg: 'a boat at sunset', 0.{90 - photo % 30}")


def scan(page: int) -> int:
    """A task one of whose items kills its process."""
    if page == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    return page
