"""Small trained runs and their exports, for tests of what is served."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from segue.config import dump_toml
from segue.export import write_export
from segue.runs import RunFolder, load_run
from segue.serving.app import Application
from segue.serving.gate import GateOptions
from segue.serving.service import Service
from segue.verbs.train import TrainOptions, train
from support.small_recipes import small_recipe
from support.stores import tiny_store

Call = Callable[..., httpx.Response]


def small_run(folder: Path, recipe: str = "segue", tracks: int = 60, **changes: Any) -> Path:
    """Return a run trained for two epochs on a store with everything, both under `folder`."""
    shutil.copytree(_trained(recipe, tracks, tuple(sorted(changes.items()))), folder, dirs_exist_ok=True)
    return folder / "run"


@cache
def _trained(recipe: str, tracks: int, changes: tuple[tuple[str, Any], ...]) -> Path:
    """Return a folder with such a store and run, made once in this process."""
    folder = _new_folder()
    tiny_store(folder / "store", sessions=80, rich=True, tracks=tracks)
    given = {"training__epochs": 2} | dict(changes)
    made = small_recipe(recipe, **given)
    path = folder / "recipe.toml"
    path.write_text(dump_toml(made.to_tables()), encoding="utf-8")
    train(folder / "store", folder / "run", TrainOptions(recipe=str(path), device="cpu"))
    chosen = RunFolder.open(folder / "run").ranking()
    if chosen is not None and "neighbours" in chosen:  # as validation chooses on larger stores
        RunFolder.open(folder / "run").save_ranking({**chosen, "neighbours": {"mass": 30.0}})
    return folder


def _new_folder() -> Path:
    """Return a new folder, which is removed at the end of this process."""
    folder = tempfile.mkdtemp(prefix="segue-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def small_export(
    folder: Path, recipe: str = "segue", name: str = "", tracks: int = 60, *, index: bool = False, **changes: Any
) -> Path:
    """Return the export of such a run, under `folder` too."""
    shutil.copytree(_exported(recipe, name, tracks, index, tuple(sorted(changes.items()))), folder, dirs_exist_ok=True)
    return folder / "export"


@cache
def _exported(recipe: str, name: str, tracks: int, index: bool, changes: tuple[tuple[str, Any], ...]) -> Path:
    """Return a folder with such a store, run and export, made once in this process."""
    folder = _new_folder()
    run = load_run(small_run(folder, recipe, tracks, **dict(changes)))
    write_export(run, folder / "export", name=name, index=index)
    return folder


def calling(service: Service, options: GateOptions | None = None) -> Call:
    """Return what sends one request to a service in this process."""
    app = Application(service, options)

    def call(method: str, path: str, **more: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, **more)

        return asyncio.run(once())

    return call


def free_port() -> int:
    """Return a port that nobody listens at now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


@contextmanager
def running(
    *arguments: str | Path, port: int, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Yield the process of `segue serve ARGUMENTS` once it is ready; at the end it is told to end, if it still runs."""
    command = [sys.executable, "-m", "segue", "serve", *map(str, arguments), "--port", str(port), "--threads", "1"]
    more = {**os.environ, **(environment or {})}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=more)
    try:
        end = time.monotonic() + 60.0
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
                    assert answer.status == 200
                break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None, process.stdout.read() if process.stdout else ""
                assert time.monotonic() < end, "not ready after a minute"
                time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)
        if process.stdout:
            process.stdout.close()


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Return status and document of one request."""
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", sent, {"content-type": "application/json"}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def begin(call: Call, events: list[dict[str, Any]] | None = None, **more: Any) -> str:
    """Begin a session and return its id."""
    answer = call("POST", "/v1/sessions", json={"events": events or [], **more})
    assert answer.status_code == 201, answer.text
    session: str = answer.json()["session"]
    return session


def is_problem(answer: httpx.Response, status: int) -> str:
    """Return the detail of an answer, which must be a problem with this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert set(document) == {"type", "title", "status", "detail"}
    detail: str = document["detail"]
    return detail
