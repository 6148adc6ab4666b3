"""Every difference between the term with a session's own skips and the same encoder without it, in these studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stated import Study, difference, points

STUDIES = {
    "table1-ml-100k": "real ratings",
    "table1-simulated": "450,000 sessions",
    "ablations-simulated/full": "`full`",
    "ablations-simulated/track": "`track`",
    "ablations-simulated/taste": "`taste`",
    "ablations-simulated/null": "`null`",
    "architectures-simulated": "`full`",
    "departures-simulated": "`full`",
    "dose-simulated": "`full`",
    "cloze-setup-simulated": "`full`",
    "scarce-simulated": "10,000 sessions",
    "shared-negatives/100k": "`full`",
}
"""All but `architectures-simulated/capped`, whose search for a rate was too short."""
OWN = {
    "cross-session-control": "on the anchors of `cross_session`",
    "all-anchors": "skipped tracks are anchors too",
    "no-positive-below": "positive not in the denominator",
    "temperature-05": "temperature .05",
    "temperature-20": "temperature .2",
    "temperature-50": "temperature .5",
}
"""Ablations whose negatives are the session's own skips."""
NAMES = {
    "causal-s-plus-track": "causal, S+ track",
    "gru4rec-s-plus-track": "GRU4Rec, S+ track",
    "gru4rec-s-plus-session": "GRU4Rec, S+ session",
    "uniform-8192-s-plus-track": "causal, S+ track, 8192 uniform negatives",
    "mixed-logq-s-plus-track": "causal, S+ track, mixed negatives with logQ",
    "length-5-s-plus-track": "causal, S+ track, 5 tracks at most",
} | {name: f"causal, S+ track, {title}" for name, title in OWN.items()}
AGAIN = ("departures-simulated", "dose-simulated", "architectures-simulated", "shared-negatives/100k")
"""Studies that train causal S- and S+ track of `ablations-simulated/full` once more."""
TITLES = {
    "hr@1": "HR@1",
    "hr@5": "HR@5",
    "hr@10": "HR@10",
    "hr@20": "HR@20",
    "hr@10.listened": "HR_l@10",
    "hr@10.skipped": "HR_s@10",
    "pair-auc": "pair AUC",
}


@dataclass(frozen=True, eq=False)
class SkipDifference:
    """The difference that the term makes in one metric of one study."""

    study: Study
    record: dict[str, Any]

    @property
    def gain(self) -> bool:
        """Whether it counts and is a gain."""
        return bool(self.record["counts"]) and self.record["verdict"] == "gain"

    @property
    def again(self) -> bool:
        """Whether `ablations-simulated/full` trains the same two arms."""
        arms = (self.record["arm"], self.record["less"])
        return self.study.name in AGAIN and arms in (
            ("causal-s-plus-track", "causal-s-minus"),
            ("all-skips-s-plus-track", "all-skips-s-minus"),
        )

    def beside(self, metric: str) -> float:
        """Return the difference of the same arms in another sampled metric."""
        level: float = self.study.contrast(self.record["arm"], self.record["less"], metric)["difference"]
        return level

    @property
    def random(self) -> float | None:
        """The difference that random tracks make in the same metric; None where the study did not ask."""
        less = self.record["less"]
        arm = (
            less.replace("-s-minus", "-random-negatives") if "architectures" in self.study.name else "random-negatives"
        )
        try:
            record = self.study.contrast(arm, less, self.record["metric"], self.record["protocol"])
        except KeyError:
            return None
        return float(record["difference"])


def skip_differences() -> list[SkipDifference]:
    """Return every difference of hit rates and of pair AUC."""
    differences = []
    for study in map(Study, STUDIES):
        for record in study.result["contrasts"]:
            by_skips = record["about"] == "skips" or (record["about"] == "ablation" and record["arm"] in OWN)
            if by_skips and record["metric"] in TITLES:
                differences.append(SkipDifference(study, record))
    return differences


def table(differences: Sequence[SkipDifference]) -> list[str]:
    """Return a row of the page's table for each gain that counts, repeated trainings left out."""
    rows = []
    for each in differences:
        record = each.record
        if each.gain and not each.again:
            assert record["protocol"] == "sampled", "none is among all tracks"
            random = "not asked" if each.random is None else points(each.random)
            rows.append(
                f"| {STUDIES[each.study.name]} | {NAMES[record['arm']]} | {TITLES[record['metric']]} | "
                f"{difference(record)} | {points(each.beside('hr@10.skipped'))} | {points(each.beside('pair-auc'))} | "
                f"{random} |"
            )
    return rows


def chosen_at_the_edge() -> list[str]:
    """Return, study by study, how many arms chose the lowest or the highest learning rate that was tried."""
    rows = []
    for study in map(Study, STUDIES):
        tried = study.result["settings"]["tuned"].get("training.learning_rate")
        if tried and study.name != "shared-negatives/100k":
            arms = study.result["arms"].values()
            edge = sum(arm["settings"]["training.learning_rate"] in (min(tried), max(tried)) for arm in arms)
            rows.append(f"`{study.name}` {edge} of {len(arms)}")
        assert set(study.result["settings"]["tuned"]) <= {"training.learning_rate"}
    return rows


def repeated(every: Sequence[SkipDifference]) -> list[str]:
    """Return what the page says of the gains of trainings that were repeated."""
    gains = [each.record for each in every if each.again and each.gain]
    assert {record["metric"] for record in gains} == {"hr@10.listened"}
    values = sorted(record["difference"] for record in gains)
    ends = f"{points(values[0])} to {points(values[-1])}"
    return [f"{len(gains)} further gains are the same two arms trained again ({ends})"]
