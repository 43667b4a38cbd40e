"""What a further stream costs CrosSCLR: `python benchmarks/streams.py`.

The published setting (a queue of 32,768 keys), float32. Before the streams exchange positives, a
step of three should cost three of SkeletonCLR's; afterwards six comparisons of streams come on top,
each with twice as many logits as there are keys. Nothing else should run meanwhile.
"""

from __future__ import annotations

from functools import partial

import measure
from training_step import skelray

THREE = ("joint", "motion", "bone")


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=6)
    given = parser.parse_args()
    one = partial(skelray, given.batch, queue=32768)
    several = partial(one, name="crossclr")
    contestants = {
        "1 stream": one,
        "2 streams, crossed": partial(several, streams=THREE[:2], cross_epoch=0),
        "3 streams, each alone": partial(several, streams=THREE, cross_epoch=1),
        "3 streams, crossed": partial(several, streams=THREE, cross_epoch=0),
    }
    medians = measure.compete(contestants, given.rounds)
    single = medians["1 stream"]
    for name, median in medians.items():
        print(f"  {name:22s} {1000 * median:6.0f} ms a step, {median / single:.2f} of one stream's")
    measure.conclude(
        given,
        {
            f"three steps of 1 stream / one of {name}": 3 * single / medians[name]
            for name in contestants
            if name.startswith("3")
        },
    )


if __name__ == "__main__":
    main()
