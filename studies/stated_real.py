"""What the pages state of the recipe `segue`: three studies of real data, one of a simulated log, and when trainings
stop."""

from __future__ import annotations

import json
from typing import Any, Final

from stated import HOME, Study, difference, points, share, span

SEGUE: Final = "segue"
MUSIC, RATINGS, HISTORIES = "segue-mssd", "segue-ml-100k", "segue-histories"
SIMULATED: Final = "segue-simulated/100k"
RETURNING: Final = "segue-histories/chronological"
CUT: Final = (1, 10, 20)
TITLES: Final = {
    "segue": "`segue`",
    "markov": "Markov with back-off",
    "sequential-rules": "sequential rules",
    "ordered-neighbours": "ordered neighbours",
    "v-sknn": "V-SKNN",
    "item-knn": "item k-NN",
    "popularity": "popularity",
    "recent-popularity": "recent popularity",
    "repeat-last": "the last track again",
    "own-plays": "the listener's own plays",
    "causal-shared-s-minus": "causal S-, shared negatives",
    "causal-shared-s-plus-session": "causal S+ session, shared negatives",
    "causal-shared-s-plus-track": "causal S+ track, shared negatives",
    "causal-s-minus": "causal S-",
    "causal-s-plus-session": "causal S+ session",
    "causal-s-plus-track": "causal S+ track",
    "cloze-shared-s-minus": "cloze S-, shared negatives",
    "cloze-shared-s-plus-session": "cloze S+ session, shared negatives",
    "cloze-shared-s-plus-track": "cloze S+ track, shared negatives",
    "cloze-s-minus": "cloze S-",
    "cloze-s-plus-session": "cloze S+ session",
    "cloze-s-plus-track": "cloze S+ track",
}
"""Arms and baselines in the order of the tables."""
SHOWN: Final = ("segue", "markov", "sequential-rules", "ordered-neighbours", "v-sknn", "item-knn", "popularity")
UNSTEADY: Final = "cloze-s-plus-session"
"""Of real music: the arm of which two seeds fall apart at the rate that its search, of one seed, chose."""
BESTS: Final = ("causal-shared-s-minus", "causal-s-minus")
"""The arms of the paper that are best in HR@1 and in HR@20."""
GOALS: Final = (
    *((protocol, f"hr@{k}") for protocol in ("full", "unheard") for k in (1, 10, 20)),
    ("sampled", "hr@10"),
)
"""What the recipe is to lead in."""
COLUMNS: Final = (
    *(f"HR@{k}, {form}" for form in ("all tracks", "heard tracks left out") for k in (1, 10, 20)),
    "HR@10, sampled",
)
"""Their titles."""
PARTS: Final = {
    "no-copy": ("copying", "heads.copy=false"),
    "no-transitions": ("transitions", "heads.transitions=false"),
    "no-neighbours": ("neighbours", "heads.neighbours=false"),
    "dot-products": ("cosine", "next_track.temperature=0"),
    "mixed": ("exact softmax, not mixed negatives", "'next_track.kind=\"mixed\"'"),
    "no-average": ("mean over epochs", "training.average=0"),
    "no-feedback": ("feedback as an input", "inputs.feedback=false"),
    "no-listen": ("P(listen)", "heads.listen=false"),
}
"""Arms without a part of `segue` to the part and what switches it off."""


def row(study: Study, name: str, title: str = "") -> str:
    """Return the row of a table: HR@1, HR@10, HR@20 in both forms, and sampled HR@10; `title` if not the usual one."""
    forms = (" / ".join(study.mean(name, f"hr@{k}", form) for k in (1, 10, 20)) for form in ("full", "unheard"))
    return f"| {title or TITLES[name]} | {' | '.join(forms)} | {study.mean(name, 'hr@10')} |"


def rows(study: Study) -> list[str]:
    """Return a row of each arm of the paper and each baseline that the study has, `segue` first."""
    known = {*study.result["arms"], *(one["name"] for one in study.result["baselines"])}
    return [row(study, name) for name in TITLES if name in known]


def rivals(study: Study, protocol: str, metric: str) -> list[Any]:
    """Return the contrasts of `segue` with every arm of the paper and every baseline, the nearest first."""
    asked = [
        one
        for one in study.result["contrasts"]
        if (one["arm"], one["protocol"], one["metric"]) == (SEGUE, protocol, metric)
        and one["about"] in ("recipe", "baseline")
    ]
    return sorted(asked, key=lambda one: float(one["difference"]))


def leads(study: Study) -> list[str]:
    """Return a row for each goal: the nearest rival, and what `segue` is ahead by both intervals."""
    nearest = [rivals(study, *goal)[0] for goal in GOALS]
    return [
        f"| {title} | {TITLES[one['less']]} | {difference(one)} | {span(one['bootstrap_interval'])} |"
        for title, one in zip(COLUMNS, nearest, strict=True)
    ]


def level_with(study: Study) -> dict[str, list[str]]:
    """Return goal to the rivals that `segue` is not shown to be better than, for goals that have any."""
    found = {
        title: [one["less"] for one in rivals(study, *goal) if one["verdict"] != "gain"]
        for title, goal in zip(COLUMNS, GOALS, strict=True)
    }
    return {title: names for title, names in found.items() if names}


def level_on_music(study: Study) -> None:
    """Check what is said of music: level with Markov in HR@1, heard tracks left out, else ahead of all but one arm."""
    level = level_with(study)
    assert level.pop("HR@1, heard tracks left out") == ["markov"]
    assert all(names == [UNSTEADY] for names in level.values())
    assert not any("all tracks" in title for title in level)


def parts_table() -> list[str]:
    """Return what each part of `segue` brings on each data set; both intervals exclude 0 where a number is bold."""
    music, ratings, histories = map(Study, (MUSIC, RATINGS, HISTORIES))
    columns = ((music, "hr@1"), (music, "hr@20"), (ratings, "hr@20"), (histories, "hr@20"))

    def cell(study: Study, arm: str, metric: str) -> str:
        if arm not in study.result["arms"]:
            return "not asked"
        one = study.contrast(SEGUE, arm, metric, "full")
        text = points(one["difference"])
        return text if one["verdict"] == "none shown" else f"**{text}**"

    return [
        f"| {title} | `{off}` | {' | '.join(cell(study, arm, metric) for study, metric in columns)} |"
        for arm, (title, off) in PARTS.items()
    ]


def recipes() -> list[str]:
    """Return what the page of recipes says of real data."""
    music, ratings = map(Study, (MUSIC, RATINGS))
    level_on_music(music)
    first, left_out = (rivals(music, form, "hr@1")[0] for form in ("full", "unheard"))
    assert first["less"] == left_out["less"] == "markov"
    assert set(level_with(ratings)) == {"HR@1, all tracks", "HR@1, heard tracks left out"}
    features = Study("segue-simulated/parts").contrast(SEGUE, "no-features", "hr@10")
    ahead = [Study(RETURNING).contrast(SEGUE, "own-plays", metric, "full") for metric in ("hr@10", "hr@20")]
    assert all(one["verdict"] == "gain" for one in ahead)
    return [
        *(row(music, name) for name in (*SHOWN, *BESTS)),
        *(row(ratings, name) for name in (SEGUE, "v-sknn", "item-knn", "causal-s-minus")),
        *(row(Study(RETURNING), name) for name in (SEGUE, "own-plays", "sequential-rules", "v-sknn")),
        row(Study(RETURNING), "no-repeats", "`segue` without earlier plays"),
        f"{points(first['difference'])} points of HR@1 over Markov ({span(first['t_interval'])}",
        f"With heard tracks left out it is level with Markov in HR@1 ({points(left_out['difference'])}, "
        f"{span(left_out['bootstrap_interval'])} over sessions)",
        "ahead of own plays in HR@10 and HR@20 "
        f"({points(ahead[0]['difference'])} and {points(ahead[1]['difference'])})",
        *parts_table(),
        f"they bring {points(features['difference'])} points of sampled HR@10",
    ]


def readme() -> list[str]:
    """Return what the README says of real music."""
    study = Study(MUSIC)
    level_on_music(study)
    shared = study.contrast("causal-shared-s-plus-track", "causal-shared-s-minus", "hr@10")
    assert shared["verdict"] == "none shown"
    quality = [study.result["arms"][arm]["listening"]["auc"][0] for arm in (SEGUE, "no-feedback")]
    return [
        *(row(study, name) for name in ("segue", "markov", "ordered-neighbours", "v-sknn", "popularity")),
        row(study, "causal-shared-s-minus", "the paper's encoder without skips"),
        row(study, "causal-shared-s-plus-track", "the paper's encoder with its skip term"),
        f"{points(shared['difference'])} points ({span(shared['t_interval'])})",
        f"AUC {share(quality[0])} with it, {share(quality[1])} without",
    ]


def family(study: Study) -> tuple[int, int, float]:
    """Return how many contrasts were fixed beforehand, how many are gains, and the largest corrected p."""
    fixed = [one for one in study.result["contrasts"] if one["primary"]]
    assert not any(one["verdict"] == "loss" for one in fixed)
    gains = sum(one["verdict"] == "gain" for one in fixed)
    return len(fixed), gains, max(one["holm"] for one in fixed)


def listening_alone(study: Study) -> str:
    """Return what P(listen) reaches with feedback."""
    ours = study.result["arms"][SEGUE]["listening"]
    return ", ".join(
        f"{title} {share(ours[key][0])}" for title, key in (("AUC", "auc"), ("Brier", "brier"), ("ECE", "ece"))
    )


def listening(study: Study) -> str:
    """Return what P(listen) reaches, with feedback and without."""
    ours, without = (study.result["arms"][arm]["listening"] for arm in (SEGUE, "no-feedback"))
    return (
        f"AUC {share(ours['auc'][0])} (without feedback {share(without['auc'][0])}), Brier "
        f"{share(ours['brier'][0])} ({share(without['brier'][0])}), ECE {share(ours['ece'][0])}"
    )


def epochs(study: Study) -> str:
    """Return how many epochs `segue` took."""
    taken = [seed["epochs"] for seed in study.result["arms"][SEGUE]["seeds"]]
    return f"took {min(taken)} to {max(taken)} epochs"


def common(study: Study) -> list[str]:
    """Return what the page of each of the three studies says."""
    return [*rows(study), *leads(study), listening(study), epochs(study)]


def music_page() -> list[str]:
    """Return what the page of the study of real music says."""
    study = Study(MUSIC)
    level_on_music(study)
    fixed, gains, _ = family(study)
    others = {one["less"] for one in study.result["contrasts"] if one["primary"] and one["verdict"] != "gain"}
    assert others == {UNSTEADY}
    unsteady = sorted(study.result["arms"][UNSTEADY]["per_seed"]["full"]["hr@10"])
    return [
        *common(study),
        f"{gains} of the {fixed} contrasts fixed beforehand are gains",
        f"HR@10 {share(unsteady[0])} and {share(unsteady[1])}, the other three {share(unsteady[2])} and more",
    ]


def ratings_page() -> list[str]:
    """Return what the page of the study of ratings says."""
    study = Study(RATINGS)
    fixed, gains, _ = family(study)
    assert level_with(study) == {
        "HR@1, all tracks": ["v-sknn"],
        "HR@1, heard tracks left out": ["item-knn", "ordered-neighbours", "v-sknn"],
    }
    assert study.contrast(SEGUE, "no-transitions", "hr@20", "full")["verdict"] == "none shown"
    return [*common(study), f"{gains} of the {fixed} contrasts fixed beforehand are gains"]


def histories_page() -> list[str]:
    """Return what the page of the study of histories says."""
    study = Study(HISTORIES)
    fixed, gains, _ = family(study)
    assert fixed == gains
    pairs = [study.contrast(SEGUE, "v-sknn", f"hr@{k}", "full") for k in (1, 10, 20)]
    assert [one["verdict"] for one in pairs] == ["none shown", "gain", "gain"]
    counts = study.result["data"]["counts"]
    return [
        *common(study),
        *_last_of_each_session(),
        *returning(),
        f"All {fixed} contrasts fixed beforehand are gains",
        f"HR@1 {difference(pairs[0])}, HR@10 {difference(pairs[1])}, HR@20 {difference(pairs[2])}",
        f"{100 * counts['unseen_share']:.0f} % of the {counts['targets']:,} targets",
        f"{counts['repeat']} are repeats",
    ]


def returning() -> list[str]:
    """Return what is said of histories by the split of each listener."""
    study = Study(RETURNING)
    fixed, gains, _ = family(study)
    assert fixed == gains
    assert level_with(study) == {f"HR@1, {form}": ["own-plays"] for form in ("all tracks", "heard tracks left out")}
    counts, parts = (
        study.result["data"]["counts"],
        [study.contrast(SEGUE, "no-repeats", f"hr@{k}", "full") for k in CUT],
    )
    repeats = [study.mean(name, "hr@10.repeat", "full") for name in (SEGUE, "own-plays")]
    discoveries = [study.mean(name, "hr@20.discovery", "full") for name in (SEGUE, "own-plays")]
    replayed = [" / ".join(study.mean(name, f"hr@{k}.replayed", "full") for k in CUT) for name in (SEGUE, "own-plays")]
    new = {
        name: " / ".join(study.mean(name, f"hr@{k}.new", "full") for k in CUT)
        for name in (SEGUE, "item-knn", "v-sknn", "sequential-rules")
    }
    for name in ("item-knn", "v-sknn", "sequential-rules"):
        assert study.contrast(SEGUE, name, "hr@10.new", "full")["verdict"] == "none shown"
    assert all(study.level("own-plays", f"hr@{k}.new", "full")[0] < 0.0005 for k in CUT)
    assert study.contrast(SEGUE, "no-neighbours", "hr@20", "full")["verdict"] == "none shown"
    return [
        *rows(study),
        *leads(study),
        row(study, "no-repeats", "without earlier plays"),
        row(study, "no-neighbours", "without neighbours"),
        *_histories_as_input(study),
        f"`segue` {replayed[0]}, own plays {replayed[1]}",
        f"{counts['new']:,} targets: `segue` {new[SEGUE]}, item k-NN {new['item-knn']}, V-SKNN "
        f"{new['v-sknn']}, sequential rules {new['sequential-rules']}",
        f"(HR@20 {difference(study.contrast(SEGUE, 'no-neighbours', 'hr@20', 'full'))})",
        f"All {fixed} contrasts fixed beforehand are gains",
        f"{100 * counts['unseen_share']:.0f} % of the {counts['targets']:,} targets have no training row, "
        f"{counts['replayed']:,} were played before",
        ", ".join(f"HR@{k} {difference(part)}" for k, part in zip(CUT, parts, strict=True)),
        f"HR@10 {repeats[0]}, own plays {repeats[1]}",
        f"HR@20 of discoveries {discoveries[0]}, own plays {discoveries[1]}",
        listening_alone(study),
        epochs(study),
    ]


def _histories_as_input(study: Study) -> list[str]:
    """Return what is said of a history that the encoder reads."""
    arms = {
        "history-64": "with a history of 64 plays",
        "history-context": "with 64 plays, gaps and times played",
        "history-256": "with a history of 256 plays",
        "history-alone": "with 256 plays in place of earlier plays",
    }
    pairs = {
        ("history-64", SEGUE): "64 plays, less `segue`",
        ("history-context", "history-64"): "gaps and times played, less 64 plays without",
        ("history-256", SEGUE): "256 plays, less `segue`",
        ("history-alone", "no-repeats"): "256 plays in place of earlier plays, less neither",
    }
    differences = {pair: [study.contrast(*pair, f"hr@{k}", "full") for k in CUT] for pair in pairs}
    assert all(one["verdict"] == "none shown" for found in differences.values() for one in found)

    def foretold(arm: str) -> str:
        found = study.result["arms"][arm]["listening"]
        auc, low, high = map(share, found["auc"])
        return f"AUC {auc} ({low} to {high}), log-loss {share(found['log-loss'][0], 4)}"

    return [
        *(row(study, arm, title) for arm, title in arms.items()),
        *(f"| {title} | {' | '.join(map(difference, differences[pair]))} |" for pair, title in pairs.items()),
        f"`segue` {foretold(SEGUE)}; 64 plays {foretold('history-64')}; with gaps and times played "
        f"{foretold('history-context')}",
    ]


def _last_of_each_session() -> list[str]:
    """Return the table of histories by the other split, of one run with the recipe's own settings."""
    document = json.loads((HOME / HISTORIES / "leave-last-two-out.json").read_text(encoding="utf-8"))
    found = {(one["name"], one["protocol"]): one for one in document["rows"]}
    rows = []
    for name in ("model", "markov", "sequential-rules", "ordered-neighbours", "v-sknn", "item-knn", "own-plays"):
        forms = (
            " / ".join(share(found[name, form][f"hr@{k}"][0]) for k in (1, 10, 20)) for form in ("full", "unheard")
        )
        title = TITLES["segue" if name == "model" else name]
        rows.append(f"| {title} | {' | '.join(forms)} | {share(found[name, 'sampled']['hr@10'][0])} |")
    return [*rows, f"{document['counts']['targets']:,} targets"]


def simulated_page() -> list[str]:
    """Return what the page of the simulated study says of the recipe as it is."""
    study = Study(SIMULATED)
    fixed, gains, _ = family(study)
    assert fixed == gains
    pairs = [one for one in study.result["contrasts"] if one["primary"] and one["about"] == "recipe"]
    first = study.contrast(SEGUE, "markov", "hr@1", "full")
    assert first["verdict"] == "loss"
    papers = [
        row(study, f"causal-{term}", f"causal {title}, shared negatives")
        for term, title in (("s-minus", "S-"), ("s-plus-session", "S+ session"), ("s-plus-track", "S+ track"))
    ]
    return [
        *(row(study, name) for name in (*SHOWN, "repeat-last")),
        *papers,
        *leads(study),
        f"All {fixed} contrasts fixed beforehand are gains",
        f"{sum(one['counts'] for one in pairs)} of the {len(pairs)} with the paper's recipes count",
        f"HR@1 among all tracks: {difference(first)} less Markov",
        listening_alone(study),
    ]


def stopping() -> list[str]:
    """Return what the page of checks says of early stopping and of blocks."""
    lines = []
    for name in ("mssd-7k", "ml-100k", "histories"):
        document = json.loads((HOME / "checks" / f"stopping-{name}.json").read_text(encoding="utf-8"))
        for arm, found in document["arms"].items():
            assert len(found["trainings"]) == 10
            cells = (share(found["summary"][key], 4) for key in ("mean", "sd", "min", "mean_lost", "most_lost"))
            block = "pre_norm" if arm == "own" else arm
            lines.append(f"| {name} | `{block}` | {' | '.join(cells)} |")
    return lines
