"""Runs the service until it is stopped or cannot continue."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from stream.config import Settings
from stream.core.dictionary import AnagramIndex
from stream.errors import StreamError
from stream.kafka.clients import make_admin
from stream.tools.kafka.cluster_watch import ClusterWatch
from stream.tools.kafka.ids import cluster_and_topic_ids
from stream.tools.serve.app import make_app
from stream.tools.serve.follower import Follower
from stream.tools.serve.group_poller import GroupPoller
from stream.tools.serve.service import Service
from stream.tools.serve.signal import ViewSignal
from stream.tools.serve.submitter import Submitter

_SWITCH_S = 0.001  # Python's default is 5 ms
_CHECKED_S = 0.5
_DRAIN_S_MAX = 5
_BACKLOG, _CONNECTIONS_MAX, _KEEP_ALIVE_S = 512, 1_000, 30


class _Server(uvicorn.Server):
    """Exits with our status: uvicorn would raise the signal again after its shutdown."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


@dataclass(frozen=True, slots=True)
class Serving:
    """The parts of the service.

    Attributes:
        listener: a listening socket.
        worker_urls: URLs of the workers whose probes are shown.
        watch: detects another cluster, and topics that were created again.
        on_ready: called once the server accepts requests.
    """

    settings: Settings
    index: AnagramIndex
    follower: Follower
    listener: socket.socket
    worker_urls: Sequence[str]
    watch: ClusterWatch
    on_ready: Callable[[], None]

    def run(self) -> None:
        """Serve until SIGTERM or Ctrl-C.

        Raises:
            StreamError: the topics can no longer be followed.
        """
        # The follower computes in this process. Under load this makes the 99th percentile a third shorter.
        sys.setswitchinterval(_SWITCH_S)
        asyncio.run(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        follower, settings = self.follower, self.settings
        view_signal = ViewSignal(loop)
        follower.view.add_listener(view_signal.notify)
        topics = tuple(follower.view.outcome_topics.values())
        _, ids = await asyncio.to_thread(cluster_and_topic_ids, make_admin(settings), topics)
        group = GroupPoller(settings, self.worker_urls)
        submitter = Submitter(settings, loop) if settings.serve_submit else None
        servers: list[_Server] = []
        service = Service(
            settings=settings,
            view=follower.view,
            words=self.index.anagrams,
            digest_differs=lambda: follower.digest not in {"", self.index.digest},
            group=group,
            signal=view_signal,
            submitter=submitter,
            topic_ids=ids,
            is_closing=lambda: servers[0].should_exit,
        )
        servers.append(_Server(_config(make_app(service))))
        checking = asyncio.create_task(self._check(servers[0]))
        try:
            await servers[0].serve([self.listener])
        finally:
            servers[0].should_exit = True
            failure = await checking
            for each in (group, submitter, follower):
                if each is not None:
                    await asyncio.to_thread(each.close)
        if failure is not None:
            raise failure

    async def _check(self, server: _Server) -> StreamError | None:
        """Stop the server if the topics can no longer be followed; return why."""
        is_reported = False
        while not server.should_exit:
            if server.started and not is_reported:
                self.on_ready()
                is_reported = True
            try:
                self.watch.check()
                self.follower.check()
            except StreamError as failure:
                server.should_exit = True
                return failure
            await asyncio.sleep(_CHECKED_S)
        return None


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        limit_concurrency=_CONNECTIONS_MAX,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_DRAIN_S_MAX,
        lifespan="off",
    )
