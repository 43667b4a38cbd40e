"""Findings of one kind are counted and shown together, with a few examples and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

SHOWN = 5  # examples of each kind

Severity = Literal["error", "warning", "note"]
_ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Kind:
    """One kind of fault."""

    severity: Severity  # error: what has it is left out, or nothing can be prepared
    what: str
    advice: str = ""


@dataclass
class Findings:
    """All that was found; memory does not grow with the number of findings."""

    counts: dict[Kind, int] = field(default_factory=dict)
    examples: dict[Kind, list[str]] = field(default_factory=dict)

    def add(self, kind: Kind, detail: str) -> None:
        """One more of its kind; `detail` names the recording or value and what is wrong there."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        shown = self.examples.setdefault(kind, [])
        if len(shown) < SHOWN:
            shown.append(detail)

    def count(self, severity: Severity) -> int:
        """Findings of that severity."""
        return sum(n for kind, n in self.counts.items() if kind.severity == severity)

    def lines(self) -> Iterator[str]:
        """Errors first; below each kind its examples."""
        for kind in sorted(self.counts, key=lambda kind: _ORDER.index(kind.severity)):
            advice = f" ({kind.advice})" if kind.advice else ""
            yield f"{kind.severity}: {kind.what}{advice}: {self.counts[kind]:,}"
            yield from (f"  {detail}" for detail in self.examples[kind])
            if more := self.counts[kind] - len(self.examples[kind]):
                yield f"  and {more:,} more"
