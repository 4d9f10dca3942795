"""One HTML page of a library, which works without a network."""
