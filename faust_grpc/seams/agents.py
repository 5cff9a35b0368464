"""Agents: their supervision."""

from __future__ import annotations

from typing import Any

import faust
from faust.types import AppT, TopicT
from mode.supervisors import OneForOneSupervisor

__all__ = ["RestartingSupervisor", "redirect_agents", "restart_agents"]


class RestartingSupervisor(OneForOneSupervisor):
    """Restarts a crashed agent at once, again and again, and never ends the worker.

    mode's own waits 5 s when an agent crashes while another restart is under way (the wake-up is
    lost), and ends the worker on two crashes within 10 ms. Overrides ``wakeup``,
    ``restart_service`` and ``raises``. mode-streaming 0.7.
    """

    def __init__(self, *services: Any, **options: Any) -> None:
        # ``raises=None`` makes the token bucket wait instead of raising.
        super().__init__(*services, **{**options, "raises": None})

    async def restart_service(self, service: Any) -> None:
        """Replace a crashed service by one that counts as started.

        Faust's replacement runs, but the supervisor only looks for crashes of started services:
        the next crash would be seen at the second look after it, 5 s later.
        """
        index = self._index[service]
        await super().restart_service(service)
        await self._services[index].maybe_start()

    def wakeup(self) -> None:
        """Look for crashed services now, or as soon as the current look is over."""
        if self._please_wakeup is None and not self.should_stop:
            self.loop.call_later(0.01, self.wakeup)
        else:
            super().wakeup()


def restart_agents(app: AppT, channel: faust.Channel[Any]) -> list[str]:
    """Give the agents of a source the supervisor above, unless their author chose one.

    Touches ``Agent._channel_arg`` (reading ``Agent.channel`` too early would configure it).
    faust-streaming 0.15.

    Returns:
        The names of the agents that read the channel.
    """
    names = []
    for agent in app.agents.values():
        if getattr(agent, "_channel_arg", None) is channel:
            names.append(agent.name)
            agent.supervisor_strategy = chosen_supervisor(agent)
    return names


def chosen_supervisor(agent: Any) -> Any:
    """Return the supervisor that an agent's author chose, or the one above."""
    chosen = agent.supervisor_strategy or agent.app.conf.agent_supervisor
    return RestartingSupervisor if chosen is OneForOneSupervisor else chosen


def redirect_agents(app: AppT, channel: faust.Channel[Any], topic: TopicT) -> list[str]:
    """Have the agents of a source that writes into a topic read this topic, as if declared so.

    Sets ``Agent._channel_arg``, and forgets what was made of it; the agents' topics decide what the
    consumer subscribes to and what happens at a rebalance. faust-streaming 0.15.

    Returns:
        Their names.
    """
    names = []
    for agent in app.agents.values():
        if getattr(agent, "_channel_arg", None) is channel:
            names.append(agent.name)
            agent._channel_arg = topic
            agent._channel = None
            agent._channel_iterator = None
    return names
