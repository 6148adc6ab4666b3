"""The service as a process: ready, exchanged, killed, ended; what it ranks, and what it remembers."""

from __future__ import annotations

import json
import random
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from segue.cli.main import main
from segue.runs import RunFolder
from segue.serving.sessions.sqlite import stored_sessions
from segue.store import Store
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.export import ExportOptions, export
from segue.verbs.prepare import PrepareOptions, prepare
from segue.verbs.replay import ReplayOptions, replay
from segue.verbs.serve import exported
from support.listeners import listeners_run
from support.served import ask, free_port, running, small_export


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_export(tmp_path_factory.mktemp("served"), tracks=120).parent


def test_it_serves_without_torch_and_ranks_as_the_evaluation_does(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    offline = evaluate(
        folder / "run", folder / "store", EvaluateOptions(protocol="full", model_only=True, device="cpu")
    )
    wanted = offline.row("model", "full").ranks
    with running(folder / "export", "--sessions", tmp_path / "s.sqlite", port=port) as process:
        assert "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text()
        found = replay(folder / "export", folder / "store", ReplayOptions(url=f"http://127.0.0.1:{port}", k=50))
        url = ["--url", f"http://127.0.0.1:{port}"]
        assert main(["replay", str(folder / "export"), str(folder / "store"), *url, "--sample", "9", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert main(["replay", str(folder / "export"), str(folder / "store"), "--url", "http://127.0.0.1:1"]) == 1
        assert "is segue serve running there?" in capsys.readouterr().err
    assert told["targets"] == 9
    assert len(found.ranks) == len(wanted)
    assert np.array_equal(np.where(wanted <= 50, wanted, 51), found.ranks)
    for cutoff in (1, 5, 10, 20):
        assert found.to_json()[f"hr@{cutoff}"] == pytest.approx((wanted <= cutoff).mean())


def test_it_ranks_for_a_listener_as_the_evaluation_does(tmp_path: Path) -> None:
    """With the history of each listener, sent as it was played, and P(listen) that reads it; a simulated log."""
    run, port = listeners_run(tmp_path), free_port()
    chosen = RunFolder(run).ranking()
    assert chosen is not None
    of_listen = chosen["listen"] | {"own_listens": 0.5, "own_skips": -0.75}
    RunFolder(run).save_ranking(chosen | {"listen": of_listen, "listen_weight": 1.0})
    export(run, tmp_path / "export")
    with running(tmp_path / "export", "--sessions", tmp_path / "s.sqlite", port=port):
        for split in ("validation", "test"):
            options = EvaluateOptions(split=split, protocol="full", model_only=True, device="cpu")
            wanted = evaluate(run, tmp_path / "store", options).row("model", "full").ranks
            asked = ReplayOptions(url=f"http://127.0.0.1:{port}", split=split, k=70)
            found = replay(tmp_path / "export", tmp_path / "store", asked)
            listed = found.ranks <= 70
            assert listed.sum() > 15
            assert np.array_equal(wanted[listed], found.ranks[listed])
            assert ((wanted[~listed] > 45) & (wanted[~listed] <= 60)).all(), (
                "what nobody played in training, nor this listener before"
            )
        few = replay(tmp_path / "export", tmp_path / "store", ReplayOptions(url=asked.url, sample=3, k=70))
        assert np.array_equal(few.ranks, found.ranks[np.linspace(0, len(found.ranks) - 1, 3).astype(int)])
    assert [*stored_sessions(tmp_path / "s.sqlite")] == [], "what was sent is deleted again"


def test_what_was_served_is_a_log_that_can_be_prepared(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port, kept = free_port(), tmp_path / "s.sqlite"
    draw, names = random.Random(0), Store(folder / "store").vocabulary.texts(range(60))
    names += ["=1+1", "<b>ü</b>", 'a,"b"']
    sessions = [[(draw.choice(names), draw.randint(0, 3)) for _ in range(draw.randint(3, 9))] for _ in range(30)]
    with running(folder / "export", "--sessions", kept, port=port) as process:
        for session in sessions:
            status, made = ask(port, "POST", "/v1/sessions", {"events": []})
            assert status == 201
            events = [{"track": track, "strength": strength} for track, strength in session]
            assert ask(port, "POST", f"/v1/sessions/{made['session']}/events", {"events": events})[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, "a service that is told to end has done nothing wrong"
    for name in ("log.csv", "log.parquet"):
        out = tmp_path / name
        assert main(["log", "export", str(kept), str(out), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["sessions"], told["events"]) == (30, sum(map(len, sessions)))
        assert main(["log", "export", str(kept), str(out)]) == 2
        assert "exists already" in capsys.readouterr().err
        prepare(out, tmp_path / f"store-{name}", PrepareOptions(source="table"))
        store = Store(tmp_path / f"store-{name}")
        offsets = np.asarray(store.offsets)
        read = sorted(
            [
                (store.vocabulary.track_id(int(store.tracks[row])), int(store.strength[row]))
                for row in range(offsets[place], offsets[place + 1])
            ]
            for place in range(store.num_sessions)
        )
        assert read == sorted(sessions)


def test_an_export_is_exchanged_without_a_failed_request(folder: Path, tmp_path: Path) -> None:
    port, served = free_port(), tmp_path / "export"
    export(folder / "run", served)
    statuses: list[int] = []
    ending = threading.Event()

    def asking() -> None:
        while not ending.is_set():
            statuses.append(ask(port, "POST", "/v1/next", {"events": [], "k": 3})[0])

    with running(served, "--sessions", tmp_path / "s.sqlite", port=port):
        threads = [threading.Thread(target=asking) for _ in range(2)]
        for thread in threads:
            thread.start()
        before = ask(port, "GET", "/v1/models")[1]["models"][0]
        export(folder / "run", served, ExportOptions(name="newer", overwrite=True))
        for _ in range(200):
            after = ask(port, "GET", "/v1/models")[1]["models"][0]
            if after != before:
                break
            ending.wait(0.1)
        ending.set()
        for thread in threads:
            thread.join()
    assert (before["name"], after["name"]) == ("segue", "newer")
    assert set(statuses) == {200}


def test_what_cannot_be_served_is_told_in_a_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEGUE_TOKEN", raising=False)
    export = str(folder / "export")
    kept = ["--sessions", str(tmp_path / "s.sqlite")]
    (tmp_path / "token").write_text("short")
    for arguments, told in (
        ([], "nothing to serve"),
        ([str(tmp_path)], "manifest.json is missing"),
        ([export, export], "as another model is"),
        ([export, "--host", "0.0.0.0"], "give a token"),
        ([export, "--host", "radio.example"], "give a token"),
        ([export, "--token-file", str(tmp_path / "token")], "16 or more characters"),
        ([export, "--token-file", str(tmp_path / "nothing")], "cannot be read"),
    ):
        assert main(["serve", *arguments, *kept]) == 2
        error = capsys.readouterr().err
        assert told in error
        assert "Traceback" not in error


def test_the_token_is_asked_for_and_stands_in_no_message(folder: Path, tmp_path: Path) -> None:
    port, token = free_port(), "correct-horse-battery"
    environment = {"SEGUE_TOKEN": token}
    with running(folder / "export", "--sessions", tmp_path / "s.sqlite", port=port, environment=environment) as process:
        assert ask(port, "GET", "/v1/models")[0] == 401
        assert token not in Path(f"/proc/{process.pid}/cmdline").read_text()
        (tmp_path / "token").write_text(token)
        asked = ReplayOptions(url=f"http://127.0.0.1:{port}", sample=3, token_file=tmp_path / "token")
        found = replay(folder / "export", folder / "store", asked)
        assert len(found.ranks) == 3
        process.terminate()
        process.wait(30)
        assert process.stdout is not None
        assert token not in process.stdout.read()


def test_a_run_is_exported_once_and_served(folder: Path, tmp_path: Path) -> None:
    port = free_port()
    for _ in range(2):
        with running(folder / "run", "--sessions", tmp_path / "s.sqlite", port=port):
            written = (folder / "run" / "served" / "manifest.json").stat().st_mtime_ns
            assert ask(port, "GET", "/v1/models")[1]["models"][0]["name"] == "run"
    assert (folder / "run" / "served" / "manifest.json").stat().st_mtime_ns == written


def test_what_another_version_exported_of_a_run_is_exported_anew(folder: Path) -> None:
    told: list[str] = []
    made = exported(folder / "run", told.append)
    manifest = json.loads((made / "manifest.json").read_text())
    (made / "manifest.json").write_text(json.dumps(manifest | {"export_version": 1}))
    told.clear()
    assert exported(folder / "run", told.append) == made
    assert told == [f"exporting {folder / 'run'} (once)"]
    assert json.loads((made / "manifest.json").read_text())["export_version"] == manifest["export_version"]
    told.clear()
    (made / "manifest.json").write_text("{")  # damaged: said when it is opened
    exported(folder / "run", told.append)
    assert told == []
    (made / "manifest.json").unlink()


def test_an_index_that_looks_nowhere_or_is_not_there_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(folder / "export"), "--index", "--probes", "0"]) == 2
    assert "--probes is 0, expected at least 1" in capsys.readouterr().err
    kept = ["--sessions", str(folder / "none.sqlite")]
    assert main(["serve", str(folder / "export"), "--index", *kept]) == 2
    assert "segue export RUN DIR --index" in capsys.readouterr().err
