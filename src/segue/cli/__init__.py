"""The command line: arguments in, one call of the API, its result printed."""
