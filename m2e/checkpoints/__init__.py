"""Where models come from: a folder, the hub, the package, published checkpoints."""
