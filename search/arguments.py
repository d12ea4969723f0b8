"""What stands on a command line -> checked values. A refusal names the value and what may stand there."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import NoReturn

from search.exit_codes import refuse
from search.settings import DEVICE, DEVICES
from search.types import RUNTIMES


class Parser(ArgumentParser):
    """Says in a line what is wrong, as everything else does: below a usage of ten lines nobody would see it."""

    def error(self, message: str) -> NoReturn:
        self.exit(refuse(f"{message}; see {self.prog} --help"))


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type of arguments: whole numbers in a range, both ends included."""
    end = "or more" if most is None else f"to {most}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise ArgumentTypeError(f"{text!r} will not do; give a whole number, {least} {end}")
        return value

    return read


positive = whole_number(1)


def device(text: str) -> str:
    """The name of a device; whether there is one is seen when a model is loaded."""
    if not DEVICE.fullmatch(text):
        raise ArgumentTypeError(f"no device is called {text!r}; choose {DEVICES}")
    return text


def runtime(text: str) -> str:
    """One of RUNTIMES. Argparse asks types of defaults too, so of what the environment says; choices it does not."""
    if text not in RUNTIMES:
        raise ArgumentTypeError(f"{text!r} is none of {', '.join(RUNTIMES)}, here or in IMAGE_SEARCH_RUNTIME")
    return text
