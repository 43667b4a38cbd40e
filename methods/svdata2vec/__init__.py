"""SV-data2vec: video tokens that predict what a teacher makes of the skeletons; see README.md."""

METHODS = {"svdata2vec": "svdata2vec:SVData2vec"}
