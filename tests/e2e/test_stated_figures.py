"""A page that states a figure of a study agrees with the study's result, or the check says where it does not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from stated import HOME, lacking, unstated
from stated_real import readme, recipes
from what_skips_bring import NO_RESULTS, PAGE, differing, elsewhere, statements

TEXT = PAGE.read_text(encoding="utf-8")


NO_FIGURES = {
    HOME.parent / "README.md": (
        readme,
        (
            "Python 3.11",
            "Apache-2.0",
            "Knees (2023)",
            "7,000 real streaming sessions",
            "HR@1 / 10 / 20",
            "1000 sampled",
            "100 tracks hold 61 % of plays",
        ),
    ),
    HOME.parent / "docs" / "recipes.md": (
        recipes,
        (
            *("7,000 streaming sessions", "Histories of 50 listeners", "exclude 0", "-log(1 - p)", "1000 sampled"),
            *(
                "50,000 tracks on a CPU and 250,000 on a GPU",
                "0 = dot products",
                "HR@1 / 10 / 20",
            ),
        ),
    ),
}
"""Page to its statements, and the pieces of it with numbers that are no results."""


def changed(folder: Path, old: str, new: str) -> Path:
    """Return a copy of the page with the first `old` in it made `new`."""
    assert old in TEXT
    (folder / PAGE.name).write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    return folder / PAGE.name


def test_pages_state_what_the_results_hold() -> None:
    assert differing() == []
    assert elsewhere() == []


@pytest.mark.parametrize("page", NO_FIGURES, ids=lambda page: page.name)
def test_every_number_of_a_page_is_a_statement(page: Path) -> None:
    statements_of, besides = NO_FIGURES[page]
    assert unstated(page, statements_of(), besides) == []
    assert lacking(page, besides) == []


@pytest.mark.parametrize("figure", ["-1.10", ".034", "17 count", "+4.32 (+3.41 to +5.23)", ".819"])
def test_a_figure_that_is_changed_is_found(tmp_path: Path, figure: str) -> None:
    other = re.sub(r"\d(?=\D*$)", lambda found: str((int(found.group()) + 1) % 10), figure)
    assert differing(changed(tmp_path, figure, other))


def test_a_figure_that_no_result_holds_is_found(tmp_path: Path) -> None:
    page = changed(tmp_path, "## Limits", "A gain of 3.7 points.\n\n## Limits")
    (found,) = differing(page)
    assert "3.7" in found


def test_a_statement_may_be_broken_across_lines_and_emphasised(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("The term\nloses **.5\npoints**, `--seeds 3` in Table 1.\n", encoding="utf-8")
    assert lacking(page, ["loses .5 points"]) == []
    assert unstated(page, ["loses .5 points"]) == []
    assert lacking(page, ["loses .6 points"]) == ["loses .6 points"]
    assert len(unstated(page, [])) == 1


def test_every_piece_that_is_no_result_still_stands_on_the_page() -> None:
    assert lacking(PAGE, NO_RESULTS) == []
    assert len(set(statements())) == len(statements())


def test_the_page_about_listeners_states_what_discovery_brought() -> None:
    result = json.loads((HOME / "checks" / "discovery-histories.json").read_text(encoding="utf-8"))
    page = (HOME.parent / "docs" / "listeners.md").read_text(encoding="utf-8")

    def shown(value: float) -> str:
        return f"{value:.3f}".removeprefix("0")

    assert f"On {result['targets']['all']:,} targets" in page
    for row in result["discovery"]:
        level, share = f"{row['discovery']:g}".removeprefix("0") or "0", row["share of new tracks in the top 20"][0]
        rates = " / ".join(shown(row[f"hr@{cutoff}"]["all"][0]) for cutoff in (1, 10, 20))
        groups = [shown(row["hr@20"][group][0]) for group in ("repeats", "discoveries")]
        assert f"| {level} | {shown(share)} | {rates} | {groups[0]} | {groups[1]} |" in page


def test_the_page_about_listeners_states_what_histories_cost() -> None:
    note = json.loads((HOME.parent / "benchmarks" / "notes" / "2026-12-01-serve-histories.json").read_text())
    page = " ".join((HOME.parent / "docs" / "listeners.md").read_text(encoding="utf-8").split())
    ratios = [run["next"]["ratio"] for run in note["runs"]]
    p50, p99 = (", ".join(f"{value:.2f}" for value in sorted(row[q] for row in ratios)) for q in ("p50", "p99"))
    begins = [run["begin"]["with"]["p50"] for run in note["runs"]]
    assert f"p50 {p50} and p99 {p99} in two runs ({note['runs'][0]['tracks']} tracks" in page
    assert f"takes {min(begins):.0f} to {max(begins):.0f} ms" in page


def test_the_page_about_listeners_states_what_they_cost() -> None:
    note = json.loads((HOME.parent / "benchmarks" / "notes" / "2026-11-30-serve-listeners.json").read_text())
    page = (HOME.parent / "docs" / "listeners.md").read_text(encoding="utf-8")
    for tracks in (50_000, 1_000_000):
        ratios = [run["next"]["ratio"] for run in note["runs"] if run["tracks"] == tracks]
        cells = (", ".join(f"{value:.2f}".removeprefix("0") for value in sorted(row[q] for row in ratios))
                 for q in ("p50", "p99"))  # fmt: skip
        assert f"| {tracks:,} | " + " | ".join(cells) + " |" in page
