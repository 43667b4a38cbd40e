"""RGB clips as tensors: which frames, which box, every transform of frames and joints."""
