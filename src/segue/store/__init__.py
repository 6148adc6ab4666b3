"""The session store: memory-mapped flat arrays with a manifest (NumPy only)."""

from segue.store.reader import Store
from segue.store.vocabulary import MASK, NUM_SPECIALS, PAD, UNKNOWN, Vocabulary
from segue.store.writer import StoreWriter

__all__ = ["MASK", "NUM_SPECIALS", "PAD", "UNKNOWN", "Store", "StoreWriter", "Vocabulary"]
