"""A music library: its tracks, their predictions, and what people ask of them. One SQLite database."""
