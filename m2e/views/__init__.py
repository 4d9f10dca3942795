"""Views of results: records and chords as text and files."""
