"""What is wrong with a file that cannot be read, in words for those who do not know polars."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from graphmi.data.errors import DataError

__all__ = ["readable", "what_is_wrong"]

_TOLD = {  # what polars says
    "more fields|n_extra|n_missing|number of columns": "a line has more fields than there are columns, or the "
    "first row has fewer; quote fields that hold the separator, and write the separators of empty ones",
    "CSV malformed|invalid csv": 'a double quote within a field; quote such fields, and write each " in them twice',
    "end of file|gzip|deflate": "the gzip file is damaged; fetch it again",
}


@contextmanager
def readable() -> Iterator[None]:
    """Say in a sentence what is wrong with a file that is read in this context.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        yield
    except pl.exceptions.NoDataError:  # as polars before 2 says it
        raise DataError("the table has no rows") from None
    except (pl.exceptions.PolarsError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"the file cannot be read: {what_is_wrong(error)}") from None


def what_is_wrong(error: Exception) -> str:
    """Return in a sentence what polars says of a file that it cannot read."""
    text = str(error).strip()
    if isinstance(error, OSError) and error.errno:  # the system says it well
        return text
    told = (sentence for words, sentence in _TOLD.items() if re.search(words, text))
    return next(told, text.splitlines()[0].partition(", hint: ")[0])
