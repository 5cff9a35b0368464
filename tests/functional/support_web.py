"""The web pages of a worker with four splits, each with a server of its own, without a broker.

The source has ``scope="worker"``: nothing is saved, so that no broker is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import Any

import faust
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result
from support_app import METHOD, ORDERS, Request, orders, until

from faust_grpc import Backoff, Cursor, GrpcSource, Split, setup_web
from faust_grpc.cli.base import commands
from faust_grpc.feeds import Assigned
from faust_grpc.lifecycle import Phase
from faust_grpc.runner import Runner
from faust_grpc.seams import restart_agents
from faust_grpc.testing import Replay, ScriptedServer, Stall

NAMES = ("a", "b", "c", "d")
TOKEN = "hush-hush"


class Pages:
    """A worker in this process, and its pages.

    Arguments:
        histories: what the server of each split has; five orders if not said.
        web: arguments of ``setup_web``.
        options: of the source.
    """

    def __init__(
        self,
        histories: Mapping[str, Sequence[Any]],
        web: Mapping[str, Any],
        **options: Any,
    ) -> None:
        self.servers = {name: ScriptedServer() for name in NAMES}
        self.histories = {name: list(histories.get(name, orders(5))) for name in NAMES}
        for name, server in self.servers.items():
            server.script(METHOD, (Replay(self.histories[name], _after), Stall()))
        self.app = faust.App("pages", broker="kafka://127.0.0.1:9", store="memory://")
        self.source = GrpcSource(
            self.app,
            "127.0.0.1:9",
            METHOD,
            name="orders",
            schema=ORDERS,
            splits=[Split(name, target=server.target) for name, server in self.servers.items()],
            cursor=Cursor("sequence", into="after_sequence"),
            scope="worker",
            backoff=Backoff(initial_seconds=0.05, maximum_seconds=0.1),
            **options,
        )
        setup_web(self.app, **web)
        self.runner = Runner.of(self.app)
        self.url = ""

        @self.app.agent(self.source)
        async def reader(stream: faust.StreamT[Any]) -> None:
            async for _ in stream:
                pass

    async def start(self, stack: AsyncExitStack) -> None:
        """Start the agent, the pages, and the splits."""
        self.app.finalize()
        restart_agents(self.app, self.source)
        self.app.flow_control.resume()
        for hook in self.runner.starting:
            hook()
        for agent in self.app.agents.values():
            await agent.start()
            stack.push_async_callback(agent.stop)
        server = TestServer(self.app.web.web_app)
        await stack.enter_async_context(server)
        self.url = str(server.make_url("")).rstrip("/")
        feed = self.source._feed
        stack.push_async_callback(feed.close, 3.0)
        await feed.prepare()
        feed.assign({name: Assigned(-1, None) for name in NAMES})
        feed.release()
        self.runner.lifecycle.enter(Phase.RUNNING)

    async def get(self, path: str) -> tuple[int, Any]:
        """Return the status and the JSON of a page."""
        async with ClientSession() as session, session.get(f"{self.url}{path}") as response:
            return response.status, await response.json()

    async def post(
        self, path: str, body: str = "", *, authorization: str | None = f"Bearer {TOKEN}"
    ) -> tuple[int, Any]:
        """Ask for control."""
        headers = {} if authorization is None else {"Authorization": authorization}
        async with (
            ClientSession() as session,
            session.post(f"{self.url}{path}", data=body, headers=headers) as response,
        ):
            return response.status, await response.json()

    async def command(self, *arguments: str) -> Result:
        """Run the command line in a thread."""
        env = {"FAUST_GRPC_TOKEN": TOKEN, "FAUST_GRPC_URL": self.url}
        return await asyncio.to_thread(CliRunner().invoke, commands, arguments, env=env)

    def states(self) -> dict[str, str]:
        """Return what each split does."""
        return {split.name: split.state for split in self.source.status().splits}

    async def reach(self, **states: str) -> None:
        """Wait until splits are in these states; the others have received all five orders."""
        wanted = {**dict.fromkeys(NAMES, "receiving"), **states}

        def reached() -> bool:
            done = (
                split.cursor == 5
                for split in self.source.status().splits
                if split.name not in states
            )
            return self.states() == wanted and all(done)

        await until(reached, lambda: f"{wanted}: {self.source.status()}")


def _after(raw: bytes) -> int:
    return int(Request.FromString(raw).after_sequence)


@asynccontextmanager
async def pages(
    histories: Mapping[str, Sequence[Any]] | None = None,
    web: Mapping[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Pages]:
    """Run a worker and its pages; ``web`` are arguments of ``setup_web``."""
    worker = Pages(histories or {}, {"token": TOKEN} if web is None else web, **options)
    with ExitStack() as servers:
        for server in worker.servers.values():
            servers.enter_context(server)
        async with AsyncExitStack() as stack:
            await worker.start(stack)
            yield worker
