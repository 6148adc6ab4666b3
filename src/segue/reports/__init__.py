"""Results as pages and plain words; takes plain records, computes no metric."""
