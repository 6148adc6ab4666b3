"""Laws of the report: one file, nothing hostile gets through, simulated numbers are named, losses are admitted."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from segue.reports.findings import baseline_sentence, contrast_sentence, findings
from segue.reports.page import report_html
from support.demo_record import HOSTILE, demo_record


class _Tags(HTMLParser):
    """Collects tags, attributes that name another place, and closing order."""

    void = frozenset({"meta", "br", "path", "use", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]


@pytest.fixture(scope="module")
def page() -> str:
    return report_html(demo_record())


def test_hostile_titles_never_become_markup(page: str) -> None:
    tags = _Tags()
    tags.feed(page)
    assert "script" not in tags.tags
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_the_page_asks_no_other_file_or_host(page: str) -> None:
    tags = _Tags()
    tags.feed(page)
    assert all(link.startswith("#") for link in tags.links)
    assert "@import" not in page


def test_simulated_stands_beside_every_table(page: str) -> None:
    captions = page.split("<caption>")[1:]
    assert len(captions) == 2
    assert all("simulated" in caption.split("</caption>")[0] for caption in captions)


def test_real_data_is_not_called_simulated() -> None:
    assert "simulated" not in report_html(demo_record(text="x") | {"simulated": {}}).split("</style>")[1]


def test_figures_stand_inside_and_follow_the_pages_ink(page: str) -> None:
    assert page.count("<svg") == 2
    assert "currentColor" in page
    assert "#010203" not in page


def test_the_same_result_gives_the_same_bytes(page: str) -> None:
    assert report_html(demo_record()) == page


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ((0.02, 0.01, 0.03), "did better"),
        ((-0.02, -0.03, -0.01), "did worse"),
        ((0.02, -0.01, 0.05), "no significant difference"),
        ((0.0, 0.0, 0.0), "no significant difference"),
    ],
)
def test_the_verdict_follows_the_interval(difference: tuple[float, float, float], words: str) -> None:
    assert words in contrast_sentence(demo_record(difference=difference)["contrasts"][0])


def test_a_model_that_loses_to_a_baseline_says_so() -> None:
    rows = [row for row in demo_record()["rows"] if row["protocol"] == "full"]
    sentence = baseline_sentence(rows, "full")
    assert "S+ track reaches 32.0 % and loses to markov" in sentence
    assert "loses to popularity" not in sentence


def test_a_skip_that_changes_nothing_is_admitted() -> None:
    assert any("changes nothing" in sentence for sentence in findings(demo_record()))


def test_one_seed_and_few_epochs_are_admitted() -> None:
    last = findings(demo_record())[-1]
    assert "one seed" in last
    assert "simulated" in last
    assert "before it converged" in last


def test_a_contrast_of_models_below_the_bar_decides_nothing() -> None:
    record = demo_record()
    first = findings(record)[0]
    assert "does not count as evidence about skips: not every model beats markov" in first
    above = [{**row, "hr@10": [0.0, 0.0, 0.0]} if row["kind"] == "baseline" else row for row in record["rows"]]
    assert not any("does not count" in text for text in findings(record | {"rows": above}))
