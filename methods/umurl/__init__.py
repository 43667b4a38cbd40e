"""UmURL: one encoder for joints, bones and motion, alone and fused; see README.md."""

METHODS = {"umurl": "umurl:UmURL"}
