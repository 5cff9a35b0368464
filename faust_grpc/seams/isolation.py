"""An application taken apart for a test: its agents and tables, without its worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import faust
from faust.types import AgentT, AppT

from ..changelog import Changelog
from ..exceptions import HostError
from .agents import chosen_supervisor
from .tables import take_over_changelog

__all__ = ["cloned_agents", "tables_in_memory"]


@contextmanager
def cloned_agents(
    app: AppT, channel: faust.Channel[Any], on_error: Callable[[BaseException], None]
) -> Iterator[list[AgentT[Any]]]:
    """Put copies in the place of a source's agents, which know nothing of other event loops.

    The agents themselves belong to the loop that they are first started in. Reads
    ``Agent._channel_arg`` and ``Agent._on_error``, and sets entries of ``app.agents``.
    faust-streaming 0.15.

    Arguments:
        app: the application.
        channel: the source.
        on_error: told what an agent raised, before the agent's own ``on_error``.
    """
    agents: MutableMapping[str, AgentT[Any]] = app.agents.data
    replaced = {
        name: agent
        for name, agent in agents.items()
        if getattr(agent, "_channel_arg", None) is channel
    }
    clones = {name: _clone(agent, channel, on_error) for name, agent in replaced.items()}
    agents.update(clones)
    try:
        yield list(clones.values())
    finally:
        agents.update(replaced)


def _clone(
    agent: Any, channel: faust.Channel[Any], on_error: Callable[[BaseException], None]
) -> AgentT[Any]:
    own = agent._on_error

    async def told(crashed: AgentT[Any], error: BaseException) -> None:
        on_error(error)
        if own is not None:
            await own(crashed, error)

    clone: AgentT[Any] = agent.clone(
        channel=channel, on_error=told, supervisor_strategy=chosen_supervisor(agent)
    )
    return clone


@contextmanager
def tables_in_memory(
    app: AppT, source: str, changelog: Changelog, refuse: Callable[[HostError], None]
) -> Iterator[None]:
    """Give every table of an application an empty store in memory, and its own back at the end.

    Sets ``Collection._data``, and ``send_changelog`` as :func:`take_over_changelog` does; enters
    the source into ``_verified_source_topics_for_partitions``, or the first write would make a
    consumer, to ask it how many partitions a topic of this name has. faust-streaming 0.15.

    Arguments:
        app: the application.
        source: whose events write the tables.
        changelog: where writes go.
        refuse: see :func:`take_over_changelog`.
    """
    kept: list[tuple[Any, Any]] = []
    for table in app.tables.values():
        of_table: Any = table
        kept.append((of_table, of_table._data))
        of_table._data = of_table._new_store_by_url("memory://")
        of_table._verified_source_topics_for_partitions.add(source)
        if not table.is_global:
            take_over_changelog(of_table, changelog, refuse)
    try:
        yield
    finally:
        for of_table, data in kept:
            of_table._data = data
            of_table._verified_source_topics_for_partitions.discard(source)
            vars(of_table).pop("send_changelog", None)
