"""An export is verified before it is trusted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from segue.errors import FormatError, InputError
from segue.export.table_forms import in_four_bits, principal_map, scan_order
from segue.exported import open_export
from segue.exported.folder import BLOCK, file_facts, parts_in_four_bits
from segue.serving.live_model import LiveModel
from segue.verbs import export as verb
from segue.verbs.export import ExportOptions
from support.served import small_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def whole(run: Path) -> Path:
    verb.export(run, run.parent / "export")
    return run.parent / "export"


@pytest.fixture
def export(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "export")
    return tmp_path / "export"


def _retold(export: Path, change: Callable[[dict[str, object]], object]) -> None:
    document = json.loads((export / "manifest.json").read_text())
    change(document)
    (export / "manifest.json").write_text(json.dumps(document))


def _admitted(export: Path, name: str) -> None:
    """Put the hash of a changed file into the manifest."""
    facts = file_facts(export / name)
    _retold(export, lambda document: document["files"].update({name: vars(facts)}))  # type: ignore[attr-defined]


def test_the_folder_holds_what_its_manifest_names_and_no_path_of_this_machine(whole: Path) -> None:
    names = {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()}
    document = json.loads((whole / "manifest.json").read_text())
    assert names == {*document["files"], "manifest.json"}
    assert document["facts"]["listen_weight"] >= 0
    here = str(Path(__file__).parents[2]).encode()
    for path in whole.rglob("*"):
        assert not path.is_file() or here not in path.read_bytes()
    same = open_export(whole)
    assert same.fingerprint == open_export(whole, verify=False).fingerprint


def test_the_same_run_gives_the_same_bytes(run: Path, whole: Path, tmp_path: Path) -> None:
    again = verb.export(run, tmp_path / "again", ExportOptions(name="other")).manifest
    assert again.name == "other"
    first = json.loads((whole / "manifest.json").read_text())["files"]
    assert json.loads((tmp_path / "again" / "manifest.json").read_text())["files"] == first


def test_what_was_changed_after_it_was_made_is_refused(export: Path) -> None:
    table = export / "table.npy"
    held = bytearray(table.read_bytes())
    held[-1] ^= 1
    table.write_bytes(held)
    with pytest.raises(FormatError, match=r"table\.npy differs from the manifest"):
        open_export(export)
    table.write_bytes(held[:-4])
    with pytest.raises(FormatError, match="bytes, not"):
        open_export(export)
    table.unlink()
    with pytest.raises(FormatError, match="is missing"):
        open_export(export)


def test_a_link_is_no_file_of_an_export(export: Path) -> None:
    (export / "table.npy").rename(export.parent / "table.npy")
    (export / "table.npy").symlink_to(export.parent / "table.npy")
    with pytest.raises(FormatError, match="not a plain file"):
        open_export(export)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "vocabulary/../../x", "other/bytes.npy", ".hidden", "a b"]
)
def test_a_manifest_names_plain_files_of_its_own_folder(export: Path, name: str) -> None:
    _retold(export, lambda document: document["files"].update({name: {"bytes": 0, "sha256": "0" * 64}}))  # type: ignore[attr-defined]
    with pytest.raises(FormatError, match="not trusted"):
        open_export(export)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.update(kind="other"), "not the manifest of an export"),
        (lambda d: d.update(export_version=1), "export version 1"),
        (lambda d: d.pop("facts"), "damaged"),
        (lambda d: d["facts"].update(bogus=1), "damaged"),
        (lambda d: d["facts"].update(temperature=0), "damaged"),
        (lambda d: d["facts"].update(listen_weight=-1.0), "damaged"),
        (lambda d: d["facts"].update(neighbour_mass=-1.0), "damaged"),
        (lambda d: d["facts"].update(num_tracks=3), "fit"),
        (lambda d: d["facts"].update(num_candidates=3), "fit"),
        (lambda d: d["facts"].update(width=8), "fit"),
        (lambda d: d["files"].pop("scan_int4.npy"), "does not name scan_int4.npy"),
        (lambda d: d["files"].pop("plays.npy"), "does not name plays.npy"),
        (lambda d: d.update(files=[]), "damaged"),
        (lambda d: d.update(name="../x"), "not trusted"),
        (lambda d: d.update(name=7), "damaged"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(export: Path, change: Callable[[object], object], told: str) -> None:
    _retold(export, change)
    with pytest.raises(FormatError, match=told):
        open_export(export)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("scan_order.npy", lambda order: np.where(order == order[0], order[1], order)),
        ("scan_order.npy", lambda order: np.where(order == order[0], 10**6, order).astype(np.int32)),
        ("transitions/begin.npy", lambda begin: begin[::-1].copy()),
        ("transitions/tracks.npy", lambda tracks: tracks + 10**6),
        ("transitions/times.npy", lambda times: times * 0),
        ("neighbours/tracks.npy", lambda tracks: tracks + 10**6),
        ("neighbours/tracks.npy", lambda tracks: tracks * 0),
        ("neighbours/offsets.npy", lambda offsets: offsets[::-1].copy()),
        ("neighbours/distinct.npy", lambda distinct: distinct[1:].copy()),
        ("neighbours/postings.npy", lambda postings: postings[::-1].copy()),
        ("neighbours/postings.npy", lambda postings: postings | (np.int64(1) << 40)),
        ("neighbours/postings.npy", lambda postings: postings | 255),
        ("neighbours/posting_offsets.npy", lambda offsets: offsets + 1),
        ("artist_code.npy", lambda codes: codes + 10**6),
        ("map.npy", lambda places: places.astype(np.float64)),
        ("table.npy", lambda rows: np.where(rows == rows[-1, -1], np.float32(np.nan), rows)),
        ("scan_step.npy", lambda steps: np.where(steps == steps[0, 0], np.float32(np.inf), steps)),
        ("vocabulary/offsets.npy", lambda offsets: offsets[::-1].copy()),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    export: Path, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    np.save(export / name, change(np.load(export / name)), allow_pickle=False)
    _admitted(export, name)
    with pytest.raises(FormatError):
        open_export(export)


def _with_custom_domain(model: onnx.ModelProto) -> None:
    model.graph.node.append(onnx.helper.make_node("Evil", ["state"], ["more"], domain="evil.example"))
    model.opset_import.append(onnx.helper.make_opsetid("evil.example", 1))


def _inside_a_branch(model: onnx.ModelProto) -> None:
    branch = onnx.helper.make_graph([onnx.helper.make_node("Evil", [], ["x"], domain="evil.example")], "b", [], [])
    node = onnx.helper.make_node("If", ["valid"], ["y"], then_branch=branch, else_branch=branch)
    model.graph.node.append(node)


def _with_a_function(model: onnx.ModelProto) -> None:
    function = onnx.FunctionProto(name="f", domain="")
    model.functions.append(function)


def _with_outside_data(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")


def _with_other_inputs(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "something"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_with_custom_domain, "only those of ONNX"),
        (_inside_a_branch, "only those of ONNX"),
        (_with_a_function, "only those of ONNX"),
        (_with_outside_data, "outside its file"),
        (_with_other_inputs, "inputs and outputs"),
    ],
)
def test_graphs_that_hold_more_than_they_should_are_not_run(
    export: Path, change: Callable[[onnx.ModelProto], None], told: str
) -> None:
    model = onnx.load(export / "encoder.onnx", load_external_data=False)
    change(model)
    (export / "encoder.onnx").write_bytes(model.SerializeToString())
    _admitted(export, "encoder.onnx")
    with pytest.raises(FormatError, match=told):
        LiveModel(open_export(export), threads=1)


def test_a_file_that_is_no_graph_is_told(export: Path) -> None:
    (export / "encoder.onnx").write_bytes(b"\xff" * 100)
    _admitted(export, "encoder.onnx")
    with pytest.raises(FormatError, match="not an ONNX graph"):
        LiveModel(open_export(export), threads=1)


def test_an_export_stands_where_nothing_else_is_lost(run: Path, export: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        verb.export(run, export)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(InputError, match="not ours to overwrite"):
        verb.export(run, tmp_path / "mine", ExportOptions(overwrite=True))
    with pytest.raises(InputError, match="not a plain name"):
        verb.export(run, tmp_path / "named", ExportOptions(name="../x"))
    with pytest.raises(FormatError, match="is not a run"):
        verb.export(tmp_path / "mine", tmp_path / "named")
    assert not (tmp_path / "named").exists()


@pytest.mark.parametrize(("width", "parts"), [(3, (1, 16)), (16, (1, 16)), (100, (1, 128)), (300, (2, 256))])
def test_rows_in_four_bits_are_off_by_half_a_step_at_most(width: int, parts: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    table = (generator.normal(size=(3 + 150, width)) * generator.uniform(0, 5, (153, 1))).astype(np.float32)
    table[10] = 0
    candidates = np.array([row for row in range(3, 153) if row % 7], np.int32)
    order = scan_order(candidates)
    assert order[order > 0].tolist() == candidates.tolist()
    assert len(order) == 3 * BLOCK
    assert parts_in_four_bits(width) == parts
    halves, steps = in_four_bits(table, order)
    assert halves.shape == (len(order), parts[0], parts[1] // 2)
    whole = np.stack([halves & 15, halves >> 4], axis=-1).reshape(len(order), *parts).astype(float)
    values = ((whole - 8) * steps[:, :, None]).reshape(len(order), -1)
    wanted = np.where(order[:, None] > 0, table[order], 0.0)
    off = np.abs(values[:, :width] - wanted)
    assert (off <= np.repeat(steps, parts[1], axis=1)[:, :width] * 0.5001).all()
    assert not values[:, width:].any()
    assert not values[(order == 0) | (order == 10)].any()
    assert whole.min() == 0 or whole.max() == 15


def test_the_map_is_that_of_singular_values() -> None:
    generator = np.random.default_rng(0)
    rows = (generator.normal(size=(200, 8)) * np.arange(1, 9)).astype(np.float32)
    shown = np.arange(200) % 3 > 0
    places = principal_map(rows, shown)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    around = unit - unit[shown].mean(0)
    axes = np.linalg.svd(around[shown])[2][:2]
    wanted = around @ axes.T
    wanted *= np.sign((wanted[shown] ** 3).sum(0))
    assert np.allclose(places, wanted / np.abs(wanted[shown]).max(), atol=1e-4)
    assert np.abs(places[shown]).max() == pytest.approx(1.0)
    assert not principal_map(rows[:2], shown[:2]).any()
