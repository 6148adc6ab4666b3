"""From a music lover's export to the listening room, on made-up listening: the first lines of the README, run.

    python tools/music_lover.py FOLDER [--sessions 4000] [--tracks 1500] [--picture FILE.png]

Writes FOLDER/my_spotify_data.zip (Spotify's extended streaming history as it comes, of one simulated listener, names
made up), prepares, trains and serves it, and asks what comes next. `--picture` opens the listening room in a browser
(chromium, and the extra `test`), plays and skips, and takes a picture of it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from segue.store import Store
from segue.store.vocabulary import NUM_SPECIALS
from segue.verbs.simulate import SimulateOptions, simulate

LENGTH_S = 200
SHARES = {0: 1.0, 1: 0.7, 2: 0.25, 3: 0.02, 255: 1.0}
"""Share of a track that is played, by strength."""


def write_export(folder: Path, sessions: int, tracks: int) -> Path:
    """Return the archive of a made-up listener's history, written below `folder`."""
    simulate(
        folder / "simulated", SimulateOptions(sessions=sessions, tracks=tracks, listeners=1, store=True, overwrite=True)
    )
    plays = list(_plays(Store(folder / "simulated")))
    path = folder / "my_spotify_data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, first in enumerate(range(0, len(plays), 15_000)):
            name = f"Spotify Extended Streaming History/Streaming_History_Audio_2021-2025_{number}.json"
            archive.writestr(name, json.dumps(plays[first : first + 15_000], indent=1))
    return path


def _plays(store: Store) -> Iterator[dict[str, Any]]:
    """Yield the plays of a store as Spotify writes them, a session each few hours."""
    titles, artists = store.track_text("title"), store.track_text("artist")
    assert titles is not None, "the simulator names tracks"
    assert artists is not None, "the simulator names artists"
    at = datetime(2021, 1, 1, 8, tzinfo=UTC)
    for first, end in zip(store.offsets[:-1].tolist(), store.offsets[1:].tolist(), strict=True):
        for row in range(first, end):
            track, strength = int(store.tracks[row]) - NUM_SPECIALS, int(store.strength[row])
            played_s = LENGTH_S * SHARES[strength]
            at += timedelta(seconds=played_s + 1)
            yield {
                "ts": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "platform": "linux",
                "ms_played": round(1000 * played_s),
                "conn_country": "ZZ",
                "ip_addr": "0.0.0.0",
                "master_metadata_track_name": titles.text(track),
                "master_metadata_album_artist_name": artists.text(track),
                "master_metadata_album_album_name": "Made up",
                "spotify_track_uri": f"spotify:track:{track:022d}",
                "episode_name": None,
                "episode_show_name": None,
                "spotify_episode_uri": None,
                "reason_start": "trackdone",
                "reason_end": "fwdbtn" if strength in (1, 2, 3) else "trackdone",
                "shuffle": False,
                "skipped": strength in (1, 2, 3),
                "offline": False,
                "offline_timestamp": None,
                "incognito_mode": False,
            }
        at += timedelta(hours=5)


def run(*words: str | Path) -> None:
    """Run a line of the README."""
    line = ["segue", *map(str, words)]
    print("$", " ".join(line), flush=True)
    subprocess.run([sys.executable, "-m", *line], check=True)


@contextmanager
def served(run_folder: Path) -> Iterator[str]:
    """Yield the address of the service of a run."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "segue", "serve", str(run_folder), "--port", str(port)]
    command += ["--sessions", str(run_folder.parent / "sessions.sqlite")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def asked(address: str, events: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """Return what comes next after some events."""
    body = json.dumps({"events": list(events), "k": 5}).encode()
    request = urllib.request.Request(f"{address}/v1/next", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        tracks: list[dict[str, Any]] = json.loads(answer.read())["tracks"]
    return tracks


def take_picture(address: str, file: Path) -> None:
    """Play, skip, and take a picture of the listening room."""
    from playwright.sync_api import sync_playwright

    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark").new_page()
        page.goto(address)
        page.wait_for_selector(".row:not(.gone) >> nth=9")
        for key in (" ", "s", " ", " "):
            page.evaluate("document.activeElement.blur()")
            page.keyboard.press(key)
            page.wait_for_timeout(1500)
        page.screenshot(path=str(file))
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sessions", type=int, default=4000)
    parser.add_argument("--tracks", type=int, default=1500)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    export = write_export(folder, arguments.sessions, arguments.tracks)
    run("prepare", "auto", export, folder / "my-music", "--overwrite")
    run("train", folder / "my-music", folder / "my-taste", "--recipe", "segue", "--overwrite")
    print("$ segue serve", folder / "my-taste", flush=True)
    with served(folder / "my-taste") as address:
        track = "spotify:track:" + "0" * 22
        for each in asked(address, [{"track": track, "heard": "listened"}]):
            print(f"{each['rank']:2d}  {each['title']}, {each['artist']}")
        if arguments.picture is not None:
            take_picture(address, arguments.picture)


if __name__ == "__main__":
    main()
