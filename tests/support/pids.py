"""Whether a process that a test does not own has ended."""

from __future__ import annotations

import psutil

__all__ = ["gone"]


def gone(pid: int) -> bool:
    """Return whether a process has ended, reaped by its parent or not."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # also when it ends between two looks
        return True
