"""The one alphabet of axes, and the shape annotations that use it.

B session in a batch, L position, D width, H head, V track of the vocabulary, R row of the track table
(V + 3), K cutoff or candidate, M negative, N session of a set, U touched row.

Annotations read `Float[Tensor, "B L D"]`; they are checked under pytest, where jaxtyping is installed.
Without jaxtyping (a bare GPU machine) they mean the array type alone.
"""

from __future__ import annotations

try:
    from jaxtyping import Bool, Float, Int, Num, UInt8
except ModuleNotFoundError:  # the check belongs to the tests; the product does without

    class _AnyShape:
        """Stands for a shape annotation where nothing checks it."""

        def __class_getitem__(cls, item: tuple[type, str]) -> type:
            return item[0]

    Bool = Float = Int = Num = UInt8 = _AnyShape  # type: ignore[assignment]

__all__ = ["Bool", "Float", "Int", "Num", "UInt8"]
