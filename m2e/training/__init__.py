"""Training on cached features: recipe, data, teachers, the loop, and the model folder that comes of it.

Nothing here is imported to predict. `train.py` puts the parts together.
"""
