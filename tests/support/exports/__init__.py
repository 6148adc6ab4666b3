"""Files of every source in their true format, with made-up names, and the plays that must come out."""
