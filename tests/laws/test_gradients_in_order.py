"""A seed decides every byte of a training on a GPU too: no gradient of a parameter is added up in a chance order.

Autograd adds the gradients of `parameter[index]` in place, one after another, where an index repeats; a GPU does so in
the order in which its threads come. `small_table_rows` reads such parameters by a product instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from segue.batches.split import split_store
from segue.training.trainer import Trainer
from support.small_recipes import small_recipe
from support.stores import tiny_store

READS = ("IndexBackward", "IndexSelectBackward", "EmbeddingBackward", "GatherBackward", "TakeBackward")
VIEWS = ("Unsqueeze", "Squeeze", "View", "Slice", "Select", "Permute", "Transpose", "TBackward", "Alias", "Expand")


def _nodes(root: Any) -> Iterator[Any]:
    seen, left = {root}, [root]
    while left:
        node = left.pop()
        yield node
        new = {parent for parent, _ in node.next_functions if parent is not None} - seen
        seen |= new
        left += new


def _parameter_behind(node: Any) -> Any:
    """Return the leaf that a node reads, through views; None if it reads something computed."""
    while node is not None and node.name().startswith(VIEWS):
        node = node.next_functions[0][0]
    return getattr(node, "variable", None)


CASES: list[tuple[str, dict[str, Any]]] = [
    ("segue", {"next_track__kind": "full"}),
    ("segue", {"next_track__kind": "mixed", "inputs__context": {"columns": ["hour", "shuffle"]}}),
    ("segue", {"next_track__kind": "mixed", "inputs__features": True, "encoder__block_type": "gated"}),
    ("paper-causal-s-plus-track", {}),
    ("paper-cloze-s-plus-session", {}),
    ("nextitnet-s-plus-track", {}),
    ("caser-s-minus", {}),
    ("gru4rec-s-minus", {}),
]


@pytest.mark.parametrize(("name", "changes"), CASES, ids=str)
def test_no_parameter_is_read_by_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, changes: dict[str, Any]
) -> None:
    store = tiny_store(tmp_path / "store", tracks=50, rich=True)
    recipe = small_recipe(name, **changes)
    trainer = Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False)
    step, losses = trainer._step, []
    compare = step.compare
    monkeypatch.setattr(step, "compare", lambda *given: losses.append(compare(*given)) or losses[-1])
    trainer.step(trainer.begin(torch.arange(8), 1))
    parameters = {id(value): key for key, value in trainer.encoder.named_parameters()}
    nodes = list(_nodes(losses[0][0].grad_fn))
    reached = {id(node.variable) for node in nodes if hasattr(node, "variable")}
    assert parameters.keys() & reached, "the graph ends at the parameters"
    read = [_parameter_behind(node.next_functions[0][0]) for node in nodes if node.name().startswith(READS)]
    assert not [parameters[id(leaf)] for leaf in read if id(leaf) in parameters]
