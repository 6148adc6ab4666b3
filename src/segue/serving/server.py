"""The service as a process: its address, its signals, and exports that are replaced while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import uvicorn

from segue.errors import InputError, SegueError
from segue.serving.app import Application
from segue.serving.gate import LOCAL_HOSTS, GateOptions
from segue.serving.models import Models
from segue.serving.options import ServeOptions, check_reach, given_token
from segue.serving.service import Service
from segue.serving.sessions.places import open_sessions

CHECK_S: Final = 2.0
"""Seconds between two checks whether an export was replaced."""
_ANY_ADDRESS: Final = ("0.0.0.0", "::")


def serve(exports: Sequence[Path], options: ServeOptions, tell: Callable[[str], None]) -> None:
    """Serve exports until a signal ends the process; `tell` gets its messages.

    Raises:
        FormatError, InputError: an export, the file of sessions or an option is wrong, or the address is taken.
        SegueError: Redis cannot be reached.
    """
    token = given_token(options.token_file)
    check_reach(options, token)
    models = Models(exports, options.threads, options.probes if options.index else 0)
    sessions = open_sessions(options.sessions, expires_s=options.expires_h * 3600.0, durable=options.durable)
    service = Service(models, sessions)
    own_host = () if options.host in _ANY_ADDRESS else (options.host,)
    hosts = (*LOCAL_HOSTS, *options.allow_host, *own_host)
    config = uvicorn.Config(
        Application(service, GateOptions(hosts, token)),
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=75,
        lifespan="off",
        ws="none",
    )
    server = _Server(config, service, tell)
    with contextlib.suppress(ValueError):  # only the main thread may set handlers of signals
        # uvicorn raises SIGTERM again when all requests are answered; by this handler the process then ends with 0
        signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        server.run()
    except SystemExit as error:  # uvicorn exits so where the address is taken
        raise InputError(f"{options.host}:{options.port} cannot be listened at; name another --port") from error
    finally:
        sessions.close()
        models.close()


class _Server(uvicorn.Server):
    """A server that says when it is ready, and opens exports again that were replaced."""

    def __init__(self, config: uvicorn.Config, service: Service, tell: Callable[[str], None]) -> None:
        super().__init__(config)
        self._service, self._tell = service, tell

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Listen, then begin to check exports."""
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()  # objects made so far live on; to trace them at each collection would delay requests
            names = ", ".join(model.live.name for model in self._service.models.every)
            self._tell(f"serving {names} at http://{self.config.host}:{self.config.port}")
            self._checks = asyncio.create_task(self._check_exports())

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """Answer the requests that have come, then end."""
        self._checks.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._checks
        await super().shutdown(sockets)

    async def _check_exports(self) -> None:
        reload = asyncio.Event()
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):  # only in the main thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reload.wait(), CHECK_S)
            if not (reload.is_set() or self._service.models.changed()):
                continue
            reload.clear()
            try:
                await self._service.models.reload()
                self._tell("exports opened anew")
            except SegueError as error:
                self._tell(f"exports stay as they were: {error}")
