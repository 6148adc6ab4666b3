"""Training sessions near a session, and what they say of the next track; NumPy alone, so that serving can use it."""
