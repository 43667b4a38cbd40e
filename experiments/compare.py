"""`python experiments/compare.py …` is `skelray compare …`."""

import sys

from skelray.platform.cli import main

if __name__ == "__main__":
    main(["compare", *sys.argv[1:]])
