"""Toyota Smarthome; see README.md."""

DATASETS = {"smarthome": "dataset:Smarthome"}
