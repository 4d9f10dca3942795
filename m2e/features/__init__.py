"""Features of data sets, computed once and cached."""
