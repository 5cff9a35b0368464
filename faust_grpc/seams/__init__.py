"""Every place where private parts of Faust, mode or aiokafka are touched, and why.

Each entry says what is touched, what for, and since which version it is known to be so. Each has
a test in ``tests/functional/test_seams*.py`` that fails when the host changes it.
"""

from .agents import RestartingSupervisor, redirect_agents, restart_agents
from .commands import offer_commands
from .group import (
    ask_for_rejoin,
    note_assignments,
    seek_between_fetches,
    show_activity,
    watch_heartbeats,
)
from .isolation import cloned_agents, tables_in_memory
from .producer import follow_sends
from .recovery import install_recovery, installed_load, read_committed
from .streams import install_stream
from .tables import CheckpointTable, note_partitions, take_over_changelog
from .worker import end_worker

__all__ = [
    "CheckpointTable",
    "RestartingSupervisor",
    "ask_for_rejoin",
    "cloned_agents",
    "end_worker",
    "follow_sends",
    "install_recovery",
    "install_stream",
    "installed_load",
    "note_assignments",
    "note_partitions",
    "offer_commands",
    "read_committed",
    "redirect_agents",
    "restart_agents",
    "seek_between_fetches",
    "show_activity",
    "tables_in_memory",
    "take_over_changelog",
    "watch_heartbeats",
]
