"""The service does what its OpenAPI document says: requests drawn from the document, right ones and wrong ones."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.schemas import BaseSchema

from segue.exported import open_export
from support.served import free_port, running, small_export

EXAMPLES = 30
"""Of an operation and phase."""
OPERATIONS = {
    "POST /v1/sessions",
    "GET /v1/sessions/{session}",
    "DELETE /v1/sessions/{session}",
    "POST /v1/sessions/{session}/events",
    "POST /v1/sessions/{session}/next",
    "GET /v1/listeners/{listener}",
    "DELETE /v1/listeners/{listener}",
    "POST /v1/next",
    "GET /v1/similar",
    "GET /v1/map",
    "GET /v1/models",
    "GET /health",
    "GET /ready",
    "GET /metrics",
}
CHECKS = {
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
}


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_export(tmp_path_factory.mktemp("schema"))


@pytest.fixture
def url(export: Path, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    with running(export, "--sessions", tmp_path / "s.sqlite", port=port) as process:
        yield f"http://127.0.0.1:{port}"
        assert process.poll() is None, "it ended by itself"


def _whole(value: Any) -> Any:
    """Return a body without numbers like 3.0: JSON Schema calls that an integer, the decoder does not."""
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _told(url: str, track: str) -> BaseSchema:
    config = SchemathesisConfig(seed=0)
    schema = schemathesis.openapi.from_url(f"{url}/schema/openapi.json", config=config)
    schema.config.generation.max_examples = EXAMPLES
    schema.config.generation.deterministic = True
    schema.config.phases.update(phases=["coverage", "fuzzing", "stateful"])
    schema.config.checks.ensure_resource_availability.enabled = False  # it takes the 404 of a model for a session's

    @schema.hook
    def map_body(_: Any, body: Any) -> Any:
        return _whole(body)

    @schema.hook
    def map_query(_: Any, query: Any) -> Any:
        """Name a track that is known where one of 1 to 9 letters stands: by chance nobody finds one."""
        named = (query or {}).get("track")
        return {**query, "track": track} if isinstance(named, str) and 0 < len(named) < 10 else query

    return schema


def test_what_the_document_says_is_what_is_answered(url: str, export: Path) -> None:
    seen, statuses, run, wrong = set[str](), Counter[tuple[str, int]](), set[str](), list[str]()
    vocabulary = open_export(export).vocabulary
    for event in from_schema(_told(url, vocabulary.texts(range(len(vocabulary)))[4])).execute():
        assert not isinstance(event, events.NonFatalError | events.FatalError), event
        if not isinstance(event, events.ScenarioFinished):
            continue
        for name, case in event.recorder.cases.items():
            told = event.recorder.interactions.get(name)
            assert told is not None, f"{case.value.operation.label} was not answered"
            assert told.response is not None, f"{case.value.operation.label} was not answered"
            seen.add(case.value.operation.label)
            statuses[event.phase.name, told.response.status_code] += 1
        for checked in event.recorder.checks.values():
            run |= {check.name for check in checked}
            for info in (check.failure_info for check in checked):
                wrong += [] if info is None else [f"{info.failure.title}: {info.failure.message}\n{info.code_sample}"]
    assert not wrong, "\n\n".join(wrong[:5])
    assert seen == OPERATIONS
    assert run >= CHECKS
    for phase, status in (("FUZZING", 200), ("FUZZING", 201), ("FUZZING", 204), ("FUZZING", 400), ("COVERAGE", 415)):
        assert statuses[phase, status], f"no {status} was drawn: {statuses}"
    assert statuses["STATEFUL_TESTING", 201], "sessions that were begun are what the links go on from"


def test_it_is_a_whole_document_of_openapi_3_1(url: str) -> None:
    with urllib.request.urlopen(f"{url}/schema/openapi.json") as answer:
        text = answer.read().decode()
    document = json.loads(text)
    assert document["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(document).validate()
    for part in text.split('"$ref":"')[1:]:
        found = document
        for name in part.split('"', 1)[0].removeprefix("#/").split("/"):
            found = found[name]
    links = document["paths"]["/v1/sessions"]["post"]["responses"]["201"]["links"]
    assert set(links) == {"add_events", "next_in_session", "show_session", "forget_session"}
