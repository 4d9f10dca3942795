"""Training of the music encoder by distillation from many teachers."""
