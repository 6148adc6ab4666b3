"""The verbs: one file each, with a record of options and a function. They never print."""
