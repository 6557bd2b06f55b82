"""What came of all rounds: a table for people, or JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from torture.judgement import KINDS
from torture.rounds import Result

HEADS: Final = ("rounds", "restarts", "accepted", "received", "by command", *KINDS)

_SHOWN: Final = 5


def lines_of(result: Result) -> list[str]:
    """Return what is wrong with one round; nothing if all is well."""
    plan, findings = result.plan, result.verdict.findings
    if not findings:
        return []
    lines = [f"round {plan.number} ({plan.fault}): {len(findings)} findings"]
    lines += [f"    {each.kind}: {each.what}" for each in findings[:_SHOWN]]
    if len(findings) > _SHOWN:
        lines.append(f"    ... and {len(findings) - _SHOWN} more")
    if result.kept is not None:
        lines.append(f"    all of it is in {result.kept}")
    return lines


def table(results: Sequence[Result]) -> str:
    """Return the counts by fault, as a table in Markdown."""
    rows = [["fault", *HEADS]]
    for name, figures in by_fault(results).items():
        rows.append([name, *(f"{each:,}" for each in figures)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *row in rows:
        cells = [name.ljust(widths[0])]
        cells += [
            each.rjust(width) for each, width in zip(row, widths[1:], strict=True)
        ]
        lines.append(f"| {' | '.join(cells)} |")
    rule = ["-" * (widths[0] + 1), *("-" * width + ":" for width in widths[1:])]
    return "\n".join(
        [lines[0], f"|{'|'.join(f'-{each}' for each in rule)}|", *lines[1:]]
    )


def by_fault(results: Sequence[Result]) -> dict[str, list[int]]:
    """Return what `HEADS` names, for each fault and in all."""
    found: dict[str, list[int]] = {}
    for name in (*dict.fromkeys(sorted(each.plan.fault for each in results)), "all"):
        those = [each.verdict for each in results if name in (each.plan.fault, "all")]
        found[name] = [
            len(those),
            sum(each.restarts for each in those),
            sum(each.accepted for each in those),
            sum(each.received for each in those),
            sum(each.by_command for each in those),
            *(sum(each.count(kind) for each in those) for kind in KINDS),
        ]
    return found


def as_json(seed: str, left_out: dict[str, str], results: Sequence[Result]) -> str:
    """Return everything, for programs."""
    return json.dumps(
        {
            "seed": seed,
            "left_out": left_out,
            "faults": {
                name: dict(zip(HEADS, figures, strict=True))
                for name, figures in by_fault(results).items()
            },
            "failed": [
                {
                    "round": each.plan.number,
                    "fault": each.plan.fault,
                    "findings": [asdict(finding) for finding in each.verdict.findings],
                    "kept": each.kept and str(each.kept),
                }
                for each in results
                if each.verdict.findings
            ],
        },
        indent=1,
    )
