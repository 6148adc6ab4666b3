"""Many trainings: trials on disk, worker processes that make them, and searches that propose their settings."""
