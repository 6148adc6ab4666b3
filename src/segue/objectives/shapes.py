"""Shape annotations of jaxtyping, where it is installed; plain types elsewhere.

`segue.axes` has the same lines: this package imports nothing of Segue, so that it can be lifted out.
"""

from __future__ import annotations

try:
    from jaxtyping import Bool, Float, Int
except ModuleNotFoundError:  # only the tests check shapes

    class _AnyShape:
        """Returns the array type of an annotation, unchecked."""

        def __class_getitem__(cls, item: tuple[type, str]) -> type:
            return item[0]

    Bool = Float = Int = _AnyShape  # type: ignore[assignment]

__all__ = ["Bool", "Float", "Int"]
