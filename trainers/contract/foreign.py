"""The one door through which foreign data is parsed: what goes wrong there is bad data, in words and with its place."""

from collections.abc import Iterator
from contextlib import contextmanager

from trainers.contract.exits import BadData, StageError
from trainers.contract.names import shown

_FAULTS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, EOFError)
"""What a parser raises over data that are not what it takes them for. An OSError is the disk's, and stays one."""
_LONGEST = 300


@contextmanager
def foreign(place: object) -> Iterator[None]:
    """Read data that somebody else wrote inside; our own refusals pass as they are.

    Args:
        place: of the data, for people: a file, and the row where it is known.

    Raises:
        BadData: the data are not what they are read as (exit 65, and never 70: no programmer can mend them).
    """
    try:
        yield
    except StageError:
        raise
    except _FAULTS as error:
        missing = "there is no " if isinstance(error, KeyError) else ""
        raise BadData(
            f"{shown(place)} is not in the form that it is read as: {missing}{shown(error)[:_LONGEST]} "
            f"({type(error).__name__}); mend it, or leave it out"
        ) from error
