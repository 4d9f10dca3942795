"""Model cards and repositories."""
