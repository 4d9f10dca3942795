"""Predictions in the tags of audio files: which tags, how each format writes them, and how a write is undone."""
