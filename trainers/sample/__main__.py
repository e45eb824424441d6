"""`python -m trainers.sample DIR`: writes a sample release into the landing folder DIR."""

import argparse
import sys
from pathlib import Path

from trainers.contract import StageError
from trainers.sample.release import PARTS, write_release


def main() -> int:
    """Write the release that the arguments ask for; the exit status follows `trainers.contract.ExitCode`."""
    parser = argparse.ArgumentParser(prog="python -m trainers.sample", description="Write a CC0 sample release.")
    parser.add_argument("landing", type=Path, metavar="DIR", help="landing folder; the release becomes DIR/NAME")
    parser.add_argument("--name", default="sample", help="the release's name (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives another release (default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="1 is about 2 MB of corpus (default: %(default)s)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to write (default: all)")
    parser.add_argument("--wait", action="store_true", help="it waits for `_READY`: nothing is made of it by itself")
    arguments = parser.parse_args()
    try:
        release = write_release(
            arguments.landing,
            arguments.name,
            seed=arguments.seed,
            scale=arguments.scale,
            parts=arguments.parts,
            ready=not arguments.wait,
        )
    except StageError as error:
        print(error, file=sys.stderr)
        return error.code
    print(release)
    return 0


if __name__ == "__main__":
    sys.exit(main())
