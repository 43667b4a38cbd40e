"""`python experiments/prepare.py …` is `skelray prepare …`."""

import sys

from skelray.platform.cli import main

if __name__ == "__main__":
    main(["prepare", *sys.argv[1:]])
