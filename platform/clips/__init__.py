"""Clips of RGB video: which frames and which part of the picture a network sees."""
