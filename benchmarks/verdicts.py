"""Output of the benchmarks: the machine, and a line with the goal per comparison."""

from __future__ import annotations

import argparse
import statistics
from typing import TYPE_CHECKING

from servers import describe_machine

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Comparison", "options", "p99", "print_machine"]


def options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all scripts have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="a short run, to see that it works"
    )
    return parser


def print_machine() -> None:
    """Print the machine and the OpenSSL of the bridge and the flooding clients."""
    from cryptography.hazmat.backends.openssl import backend

    print(f"{describe_machine()}, {backend.openssl_version_text()}")


def p99(values: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return sorted(values)[int(len(values) * 0.99)]


class Comparison:
    """Values of two contestants, measured by turns so that noise affects both.

    Args:
        title: the name of the measured value.
        form: the format of a printed value, e.g. `"{:.0f}/s"`.
        scale: factor for printed values.
        at_least: the least acceptable ratio of the second contestant to the first.
        at_most: the highest acceptable ratio.
        names: the contestants.
    """

    def __init__(  # noqa: PLR0913 - all by name, a line of a table
        self,
        title: str,
        form: str,
        *,
        scale: float = 1.0,
        at_least: float | None = None,
        at_most: float | None = None,
        names: tuple[str, str] = ("grpc", "bridge"),
    ) -> None:
        self._title = title
        self._form = form
        self._scale = scale
        self._at_least = at_least
        self._at_most = at_most
        self._values: dict[str, list[float]] = {name: [] for name in names}

    def add(self, name: str, value: float) -> None:
        """Add a contestant's value of the current round."""
        self._values[name].append(value)

    def of(self, name: str) -> float:
        """Return the median of one contestant."""
        return statistics.median(self._values[name])

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios of the second contestant to the first."""
        first, second = self._values.values()
        return statistics.median(b / a for a, b in zip(first, second, strict=True))

    def show(self) -> None:
        """Print both medians, the ratio and the goal."""
        shown = "  ".join(
            f"{name} {self._form.format(self.of(name) * self._scale):>10}"
            for name in self._values
        )
        print(f"{self._title:44} {shown}  ratio {self.ratio:5.2f}{self._goal()}")

    def _goal(self) -> str:
        if self._at_least is not None:
            met = self.ratio >= self._at_least
            return f"  goal >= {self._at_least:.2f}  {'ok' if met else 'MISSED'}"
        if self._at_most is not None:
            met = self.ratio <= self._at_most
            return f"  goal <= {self._at_most:.2f}  {'ok' if met else 'MISSED'}"
        return ""
