"""Files of any container, encoding and dialect as frames of records."""
