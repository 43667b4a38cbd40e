"""`python experiments/run.py …` is `skelray run …`."""

import sys

from skelray.platform.cli import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
