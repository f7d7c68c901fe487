"""``flask stripe doctor``: check the set-up, here and at Stripe."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from ..operations.doctor import checks_of
from ..operations.doctor import examine
from ..operations.doctor import Finding
from ..state import get_state

_COLORS = {"ok": "green", "FAIL": "red", "skip": "yellow"}


@click.command("doctor")
@with_appcontext
def doctor_command() -> None:
    """Check the set-up, here and at Stripe.

    Writes one line for each check: the keys, the tables, the webhook endpoint at
    Stripe, the prices. The exit status is 1 if one of them fails.

    \b
    Example:
        flask stripe doctor
    """
    state = get_state()
    width = max(map(len, checks_of(state)))
    findings: list[Finding] = []

    for finding in examine(state):  # print each at once: Stripe may be slow
        findings.append(finding)
        verdict = click.style(f"{finding.verdict:<4}", fg=_COLORS[finding.verdict])
        click.echo(f"{verdict}  {finding.name:<{width}}  {finding.text}")

    failed = [finding.name for finding in findings if finding.verdict == "FAIL"]

    if failed:
        raise click.ClickException(
            f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}."
        )
