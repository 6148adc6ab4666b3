"""Studies: several arms of one question, trained, tuned alike, measured alike, and answered in plain words."""
