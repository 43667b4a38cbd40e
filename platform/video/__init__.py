"""Video files: written and read in order through PyAV, single frames through decord."""
