"""Which arms of a study a store can have: some read inputs that not every log has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from segue.errors import InputError
from segue.model.inputs import check_inputs
from segue.store import Store
from segue.studies.design import Design


def suited(
    design: Design, store: Store, overrides: Mapping[str, Any], named: Collection[str]
) -> tuple[Design, dict[str, str]]:
    """Return the design without the arms whose inputs the store lacks, and why each of them is left out, by title.

    `named`: arms that the options name; such a one is not left out silently.

    Raises:
        InputError: a key or value is refused; a named arm, or every arm, needs what the store lacks.
    """
    left_out: dict[str, str] = {}
    suited_arms = []
    for arm in design.arms:
        recipe = arm.resolved(overrides)
        try:
            check_inputs(recipe.inputs, store)
        except InputError as error:
            if arm.name in named:
                raise InputError(f"arm {arm.name}: {error}") from error
            left_out[arm.title] = str(error)
        else:
            suited_arms.append(arm.name)
    if not suited_arms:
        raise InputError(f"study {design.name}: {next(iter(left_out.values()))}")
    return design.cut(suited_arms, tuned=True), left_out
