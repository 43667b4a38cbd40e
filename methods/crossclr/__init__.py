"""CrosSCLR's family: SkeletonCLR, momentum contrast of one skeleton stream."""

METHODS = {"skeletonclr": "skeletonclr:SkeletonCLR"}
