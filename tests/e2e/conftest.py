"""A service of two models, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from segue.exported import open_export
from segue.serving.models import Models
from segue.serving.service import Service
from segue.serving.sessions.sqlite import SqliteSessions
from support.served import Call, calling, small_export


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [
        small_export(tmp_path_factory.mktemp("first")),
        small_export(tmp_path_factory.mktemp("second"), "paper-causal-s-minus", name="plain"),
    ]


@pytest.fixture
def service(exports: list[Path], tmp_path: Path) -> Iterator[Service]:
    made = Service(Models(exports, threads=1), SqliteSessions(tmp_path / "sessions.sqlite"))
    yield made
    made.sessions.close()
    made.models.close()


@pytest.fixture
def call(service: Service) -> Call:
    return calling(service)


@pytest.fixture(scope="module")
def tracks(exports: list[Path]) -> list[str]:
    vocabulary = open_export(exports[0]).vocabulary
    return vocabulary.texts(range(len(vocabulary)))
