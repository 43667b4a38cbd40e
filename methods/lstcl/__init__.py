"""LSTCL: action links, an encoder of long sequences, contrast of predicted skeletons; README.md."""

METHODS = {"lstcl": "lstcl:LSTCL"}
