"""Loading models: from the package, a folder or the hub, and from published checkpoints, which are converted."""
