"""Shape annotations where jaxtyping is installed, plain array types elsewhere.

The same few lines stand in `segue.axes`: this package imports nothing of Segue, so that it can be lifted out.
"""

from __future__ import annotations

try:
    from jaxtyping import Bool, Float, Int
except ModuleNotFoundError:  # the check belongs to the tests; the product does without

    class _AnyShape:
        """Stands for a shape annotation where nothing checks it."""

        def __class_getitem__(cls, item: tuple[type, str]) -> type:
            return item[0]

    Bool = Float = Int = _AnyShape  # type: ignore[assignment]

__all__ = ["Bool", "Float", "Int"]
