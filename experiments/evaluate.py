"""`python experiments/evaluate.py …` is `skelray evaluate …`."""

import sys

from skelray.platform.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
