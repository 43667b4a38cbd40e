"""CrosSCLR's family: SkeletonCLR on one skeleton stream, CrosSCLR on several."""

METHODS = {"skeletonclr": "skeletonclr:SkeletonCLR", "crossclr": "crossclr:CrosSCLR"}
