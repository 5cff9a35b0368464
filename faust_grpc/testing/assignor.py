"""An assignor for the mock broker, where a group's leader must not be the first to sync."""

from __future__ import annotations

import time
from typing import Any

from faust.assignor import PartitionAssignor

__all__ = ["UnhurriedAssignor"]

#: Many times what a follower needs from JoinGroup to SyncGroup on a busy machine.
_WAIT_SECONDS = 0.3


class UnhurriedAssignor(PartitionAssignor):
    """Faust's assignor, which lets followers go first.

    librdkafka's mock cluster ends the sync of a group when the leader's assignment is there. A
    follower that asks later is refused (error 42, as no real broker does), aiokafka ends its group
    task, and the worker waits for ever.
    """

    def assign(self, cluster: Any, member_metadata: Any) -> Any:
        """Assign, a moment later when there are followers."""
        if len(member_metadata) > 1:
            time.sleep(_WAIT_SECONDS)  # the consumer's own thread: nothing else runs in it
        return super().assign(cluster, member_metadata)
