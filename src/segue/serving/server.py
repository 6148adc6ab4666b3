"""The service as a process: who may reach it, signals, models that are exchanged while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import uvicorn

from segue.errors import InputError, SegueError
from segue.serving.app import make_app
from segue.serving.gate import LOCAL_HOSTS, GateOptions
from segue.serving.models import Models
from segue.serving.options import ServeOptions, check_reach
from segue.serving.service import Service
from segue.serving.sessions import open_sessions

LOOK_S: Final = 2.0
"""Seconds between two looks at whether an export was replaced."""


def serve(exports: Sequence[Path], options: ServeOptions, told: Callable[[str], None]) -> None:
    """Serve exports until the process is told to end; `told` hears messages.

    Raises:
        FormatError, InputError: an export, the file of sessions or an option is not what it should be; the address
            is taken. SegueError: Redis cannot be reached.
    """
    check_reach(options)
    models = Models(exports, options.threads, options.probes)
    sessions = open_sessions(options.sessions, expires_s=options.expires_h * 3600.0, durable=options.durable)
    service = Service(models, sessions)
    hosts = (*LOCAL_HOSTS, *options.allow_hosts, *((options.host,) if options.host not in ("0.0.0.0", "::") else ()))
    app = make_app(service, GateOptions(hosts, options.token))
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=75,
        lifespan="on",
    )
    server = _Server(config, service, told)
    with contextlib.suppress(ValueError):  # only the main thread hears signals
        signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again once all is answered: done, not failed
    try:
        server.run()
    except SystemExit as error:  # uvicorn's way to say that the address is taken
        raise InputError(f"{options.host}:{options.port} cannot be listened at; name another --port") from error


class _Server(uvicorn.Server):
    """Says when it is ready, and looks for exports that were replaced."""

    def __init__(self, config: uvicorn.Config, service: Service, told: Callable[[str], None]) -> None:
        super().__init__(config)
        self._service, self._told = service, told

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Listen, then begin to look."""
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()  # what stands now stays: looking through it again would make somebody wait
            names = ", ".join(model.live.name for model in self._service.models.every)
            self._told(f"serving {names} at http://{self.config.host}:{self.config.port}")
            self._looking = asyncio.create_task(self._look())

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """Answer what was asked, then end."""
        self._looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._looking
        await super().shutdown(sockets)

    async def _look(self) -> None:
        asked = asyncio.Event()
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):  # only the main thread hears signals
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
        async for _ in _every(LOOK_S, asked):
            if not (asked.is_set() or self._service.models.changed()):
                continue
            asked.clear()
            try:
                await self._service.models.reload()
                self._told("exports opened anew")
            except SegueError as error:
                self._told(f"exports stay as they were: {error}")


async def _every(seconds: float, asked: asyncio.Event) -> AsyncIterator[None]:
    """Yield after so many seconds, or at once when it is asked for."""
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), seconds)
        yield
