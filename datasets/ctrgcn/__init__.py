"""NTU RGB+D 60 and 120 as CTR-GCN and MAMP store them after their denoising; see README.md."""

DATASETS = {"ntu60_ctrgcn": "dataset:NTU60CTRGCN", "ntu120_ctrgcn": "dataset:NTU120CTRGCN"}
