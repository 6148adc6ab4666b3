"""The whole of an export, written aside and renamed."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from segue.errors import InputError
from segue.export.graphs import export_encoder, export_listen
from segue.export.table_forms import in_four_bits, make_cells, principal_map, scan_order
from segue.exported.folder import ENCODER, LISTEN, all_facts, transition_file
from segue.exported.manifest import MANIFEST, ExportManifest, ModelFacts
from segue.files import replaced_folder, write_json
from segue.model.heads import CopyHead, ListenHead, ListenWeights, NeighboursHead, RepeatsHead, TransitionsHead
from segue.model.heads.repeats import MOST_PLAYS
from segue.progress import Progress, Step, silent
from segue.runs import LoadedRun
from segue.runs.environment import installed
from segue.store.vocabulary import NUM_SPECIALS, TextColumn

_STAGES: Final = ("graphs", "track table", "table in 4 bits", "map and texts", "hashes")


def write_export(
    run: LoadedRun,
    out: str | Path,
    *,
    name: str = "",
    overwrite: bool = False,
    index: bool = False,
    progress: Progress = silent,
) -> ExportManifest:
    """Return the manifest of the export of `run`, written to the folder `out`.

    `name`: what the model is called; empty = the recipe's name. `index`: make cells for an index too.

    Raises:
        InputError: `out` exists and may not be replaced; the packages of the extra `export` are missing.
    """
    if name and plain(name) != name:
        raise InputError(f"{name!r} is not a plain name; take letters, digits, '.', '_' and '-'")
    with replaced_folder(Path(out), overwrite=overwrite, marker=MANIFEST) as folder:
        steps = iter([Step("export", done, len(_STAGES), "steps", stage) for done, stage in enumerate(_STAGES)])
        progress(next(steps))
        facts = _facts(run, _write_heads(run, folder))
        export_encoder(run.encoder, folder / ENCODER)
        table: NDArray[np.float32] = run.encoder.ranked_rows().numpy()
        progress(next(steps))
        _save(folder / "table.npy", table)
        _save(folder / "plays.npy", run.training_counts.astype(np.int64))
        progress(next(steps))
        candidates = _write_untrained(run, folder)
        order = scan_order(candidates)
        halves, step = in_four_bits(table, order)
        _save(folder / "scan_order.npy", order)
        _save(folder / "scan_int4.npy", halves)
        _save(folder / "scan_step.npy", step)
        del halves
        if index:
            centres, cell = make_cells(table, candidates)
            (folder / "index").mkdir()
            _save(folder / "index" / "centres.npy", centres)
            _save(folder / "index" / "cell.npy", cell)
        progress(next(steps))
        shown = np.zeros(len(table), np.bool_)
        shown[candidates] = True
        _save(folder / "map.npy", principal_map(table[NUM_SPECIALS:], shown[NUM_SPECIALS:]))
        run.vocabulary.write(folder / "vocabulary")
        if run.titles is not None:
            run.titles.write(folder / "title")
        if run.artists is not None:
            _write_artists(run.artists, folder)
        progress(next(steps))
        manifest = ExportManifest(
            name or plain(run.recipe.name), facts, all_facts(folder), f"segue {installed('segue')}"
        )
        write_json(folder / MANIFEST, manifest.to_json())
        progress(Step("export", len(_STAGES), len(_STAGES), "steps"))
    return manifest


def plain(name: str) -> str:
    """Return `name` with everything that a plain file name may not have replaced by dashes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:100] or "model"


def _facts(run: LoadedRun, temperature: float) -> ModelFacts:
    heads = dict(run.encoder.heads.items())
    neighbours, listen = heads.get("neighbours"), heads.get("listen")
    of_listen = listen.ranking_weights if isinstance(listen, ListenHead) else ListenWeights()
    mass = float(neighbours.ranking_weights.mass) if isinstance(neighbours, NeighboursHead) else 0.0
    return ModelFacts(
        recipe=run.recipe.name,
        num_tracks=run.vocabulary.num_tracks,
        num_candidates=len(run.candidates) - len(_untrained(run)),
        width=run.encoder.width,
        max_len=run.encoder.max_len,
        reads_feedback=run.encoder.reads_feedback,
        temperature=temperature,
        listen_weight=run.listen_weight,
        own_listens=of_listen.own_listens,
        own_skips=of_listen.own_skips,
        neighbour_mass=mass,
        earlier_plays=MOST_PLAYS if "repeats" in run.encoder.heads else 0,
        history=run.recipe.data.history if run.encoder.reads_histories else 0,
        best=dict(run.best),
        data=asdict(run.recipe.data),
        simulated=dict(run.environment.get("simulated") or {}),
    )


def _untrained(run: LoadedRun) -> NDArray[np.int32]:
    """Return the candidates without a training row, which only heads give mass."""
    untrained = run.encoder.untrained
    return run.candidates[:0] if untrained is None else run.candidates[untrained.numpy()[run.candidates]]


def _write_untrained(run: LoadedRun, folder: Path) -> NDArray[np.int32]:
    """Write those candidates if there are any; return the others."""
    untrained = _untrained(run)
    if len(untrained):
        _save(folder / "untrained.npy", untrained.astype(np.int32))
    return np.setdiff1d(run.candidates, untrained)


def _write_repeats(head: RepeatsHead, folder: Path) -> None:
    folder.mkdir()
    for name, value in head.arrays().items():
        _save(folder / f"{name}.npy", value)


def _write_heads(run: LoadedRun, folder: Path) -> float:
    """Write what the heads of a run know; return the temperature of the encoder's scores."""
    heads = dict(run.encoder.heads.items())
    listen, transitions = heads.get("listen"), heads.get("transitions")
    if isinstance(listen, ListenHead):
        export_listen(listen, run.encoder.width, folder / LISTEN)
        every = torch.arange(run.encoder.table.num_embeddings)
        _save(folder / "listen_offset.npy", listen.offset(every).detach().numpy())
    copying = heads.get("copy")
    if isinstance(copying, CopyHead):
        (folder / "copy").mkdir()
        age = copying.age + copying.ranking_weights.offset
        for name, value in (("ask", copying.ask.weight), ("age", age), ("heard", copying.heard)):
            _save(folder / "copy" / f"{name}.npy", value.detach().numpy())
    repeats = heads.get("repeats")
    if isinstance(repeats, RepeatsHead):
        _write_repeats(repeats, folder / "repeats")
    neighbours = heads.get("neighbours")
    if isinstance(neighbours, NeighboursHead) and neighbours.ranking_weights.mass > 0:
        (folder / "neighbours").mkdir()
        for name, array in neighbours.index.arrays().items():
            _save(folder / "neighbours" / f"{name}.npy", array)
    if not isinstance(transitions, TransitionsHead):
        return 1.0
    rows, weights = len(transitions.followed), transitions.ranking_weights
    (folder / "transitions").mkdir()
    for order in range(1, transitions.orders + 1):
        pairs, times, followed = (part.numpy() for part in transitions.counts(order))
        ends = np.searchsorted(pairs, np.arange(len(followed) + 1) * rows).astype(np.int64)
        arrays: dict[str, NDArray[np.generic]] = {"begin": ends, "tracks": (pairs % rows).astype(np.int32)}
        arrays["times"] = times.astype(np.int32)
        if order > 1:
            arrays["keys"] = transitions.keys(order).numpy()
        for name, array in arrays.items():
            _save(folder / "transitions" / f"{transition_file(name, order)}.npy", array)
    trust = transitions.reliability.detach() + weights.slope
    bias = transitions.gate.bias.detach() + weights.offset
    gate = torch.cat([transitions.gate.weight.detach(), trust[:, None], bias[:, None]], 1)
    _save(folder / "transitions" / "gate.npy", gate.numpy().astype(np.float32))
    return float(weights.temperature)


def _write_artists(artists: TextColumn, folder: Path) -> None:
    texts = artists.texts(range(len(artists)))
    names = sorted({text for text in texts if text}, key=lambda name: name.encode("utf-8", "surrogatepass"))
    index_of = {name: index for index, name in enumerate(names)}
    codes = np.full(len(texts) + NUM_SPECIALS, -1, np.int32)
    codes[NUM_SPECIALS:] = [index_of.get(text, -1) for text in texts]
    TextColumn.from_texts(names).write(folder / "artist")
    _save(folder / "artist_code.npy", codes)


def _save(path: Path, array: NDArray[np.generic]) -> None:
    np.save(path, array, allow_pickle=False)
