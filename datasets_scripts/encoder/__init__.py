"""Unlabelled audio and what published networks compute of it: the training material of the encoder."""
