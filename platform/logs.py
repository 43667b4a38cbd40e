"""What goes to a file of the run and not to the terminal: Ray's chatter, warnings, tracebacks."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# they keep their records from the root logger, or (py.warnings) should not reach the terminal
_APART = ("ray", "ray.data", "ray.train", "ray.tune", "py.warnings")


@contextmanager
def logged_to(file: Path) -> Iterator[None]:
    """Appends all records of a `with`, from INFO on, to `file`, and the error that ends it.

    The terminal keeps warnings and errors of skelray alone.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter(_FORMAT))
    root = logging.getLogger()
    terminals = {terminal: terminal.level for terminal in root.handlers}
    for terminal, level in terminals.items():
        terminal.setLevel(max(level, logging.WARNING))
    apart = [logging.getLogger(name) for name in _APART]
    before = {logger: (logger.level, logger.handlers) for logger in (root, *apart)}
    warned = logging.getLogger("py.warnings")
    propagates, warned.propagate = warned.propagate, False
    logging.captureWarnings(True)
    for logger in before:
        logger.setLevel(logging.INFO)
        own = [handler] if logger is root or not logger.propagate else []
        logger.handlers = [*filter(_stays(logger), logger.handlers), *own]
    try:
        yield
    except BaseException:
        handler.handle(_traceback())
        raise
    finally:
        logging.captureWarnings(False)
        warned.propagate = propagates
        for logger, (level, handlers) in before.items():
            logger.setLevel(level)
            logger.handlers = handlers
        for terminal, level in terminals.items():
            terminal.setLevel(level)
        handler.close()


def _stays(logger: logging.Logger) -> Callable[[logging.Handler], bool]:
    """Ray's loggers have a handler of their own for the terminal."""
    root = logger.parent is None
    return lambda handler: root or isinstance(handler, logging.FileHandler)


def _traceback() -> logging.LogRecord:
    """A record of the error at hand."""
    return logging.LogRecord(
        __name__, logging.ERROR, __file__, 0, "ended by an error", (), sys.exc_info()
    )
