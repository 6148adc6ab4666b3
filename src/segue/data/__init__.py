"""From any listening log to events: records are read, mapped to roles, typed, their feedback inferred, cut, checked."""
