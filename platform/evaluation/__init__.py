"""What a checkpoint is worth: features, probes, baselines, pictures, and one table of the figures."""
