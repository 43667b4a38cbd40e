"""Skeletons: their joints and bones, the streams made of them, and their graphs."""
