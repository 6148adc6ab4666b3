"""Live sessions, stored so that a kill of the service loses none."""

from segue.serving.sessions.places import kept_sessions

__all__ = ["kept_sessions"]
