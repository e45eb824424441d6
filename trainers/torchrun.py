"""torchrun that ends as the stage did: of several processes a launcher learns what it learns of one.

`python -m trainers.torchrun -m trainers <stage> --request FILE` takes torchrun's own options and PET_* variables.
Plain torchrun returns 1 whatever happened, so that bad data would look like a crash, and a drained node like an error.
"""

import signal
import sys
from collections.abc import Sequence

from trainers.contract import ExitCode

_SIGNAL_BASE = 128


def main(arguments: Sequence[str]) -> int:
    """Run the processes of this machine; returns the stage's exit code, 128 + N where signal N ended a process."""
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    try:
        run(parse_args(list(arguments)))
    except ChildFailedError as error:
        in_order = sorted(error.failures.values(), key=lambda failure: failure.timestamp)
        return cause([failure.exitcode for failure in in_order])
    except SignalException:
        return int(ExitCode.RESUMABLE)  # every process was told, and had time to save
    return int(ExitCode.OK)


def cause(codes: Sequence[int]) -> int:
    """Which of several processes' exit codes, oldest first, is why the others ended too.

    A process that loses another one exits resumable, and the rest is stopped by SIGTERM: neither is a cause while
    there is anything else.
    """
    consequences = (ExitCode.RESUMABLE, -signal.SIGTERM)
    code = next((code for code in codes if code not in consequences), codes[0])
    return _SIGNAL_BASE - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
