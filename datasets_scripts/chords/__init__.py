"""Training material of the chord recogniser."""
