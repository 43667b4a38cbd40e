"""Augmentations of skeleton batches; every random draw is an argument."""
