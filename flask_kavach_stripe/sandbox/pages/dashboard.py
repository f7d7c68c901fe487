"""The dashboard: what there is, the clock, the events, and what can go wrong.

It is the sandbox's own; Stripe's Dashboard looks different and can do more.
"""

from __future__ import annotations

from collections.abc import Sequence

from flask import abort
from flask import redirect
from flask import render_template
from flask import request
from flask import url_for
from werkzeug.wrappers import Response as BaseResponse

from ..account import Account
from ..clock import DAY
from ..faults import KINDS
from ..money.item_prices import period_end
from ..web.api import current_account
from .blueprint import bp
from .blueprint import describe
from .blueprint import find
from .blueprint import reading
from .fault_buttons import COUNTS
from .fault_buttons import fault_key

_EVENTS_SHOWN = 100
_JUMPS = {"hour": 3600, "day": DAY, "week": 7 * DAY}


@bp.get("/")
def dashboard() -> str:
    """Show everything on one page."""
    with reading() as account:
        store = account.store
        return render_template(
            "sandbox/dashboard.html",
            api_key=account.api_key,
            url=account.world.base_url,
            now=account.clock.now(),
            next_step=account.timeline.next_step(),
            jumps=_jumps(account),
            faults=[(fault_key(fault), fault) for fault in account.faults],
            fault_kinds=KINDS,
            fault_counts=COUNTS,
            customers=[
                customer
                for customer in store.all("customer")
                if not customer.get("deleted")
            ],
            subscriptions=[
                describe(account, subscription)
                for subscription in store.all("subscription")
            ],
            open_sessions=[
                session
                for session in store.all("checkout.session")
                if session["status"] == "open"
            ],
            endpoints=store.all("webhook_endpoint"),
            events=[
                (event, store.hidden[event["id"]])
                for event in store.all("event")[:_EVENTS_SHOWN]
            ],
            event_count=len(store.all("event")),
        )


@bp.post("/clock")
def move_clock() -> BaseResponse:
    """Move the clock by a time, or to the next thing that happens."""
    jump = request.form.get("jump", "")

    with reading() as account:
        now = account.clock.now()

        if jump in _JUMPS:
            moment = now + _JUMPS[jump]
        else:
            known = {name: at for name, _, at in _jumps(account)}

            if jump not in ("next", "renewal", "trial"):
                abort(400, "Unknown jump.")

            moment = known.get(jump, now)

    account.advance_to(max(moment, account.clock.now()))
    account.delivery.drain()
    return redirect(url_for(".dashboard"), 303)


def _jumps(account: Account) -> Sequence[tuple[str, str, int]]:
    """Return name, words and time of what the clock can be moved to."""
    moments: dict[str, list[int]] = {"renewal": [], "trial": []}

    for subscription in account.store.all("subscription"):
        end = subscription["cancel_at"]

        if subscription["test_clock"] is not None:
            continue

        if subscription["status"] == "trialing":
            name, at = "trial", subscription["trial_end"]
        elif subscription["status"] in ("active", "past_due", "unpaid"):
            name, at = "renewal", period_end(subscription, min)
        else:
            continue

        if end is None or end > at:
            moments[name].append(at)

    words = {"renewal": "next renewal", "trial": "end of the trial"}
    jumps = [(name, words[name], min(ats)) for name, ats in moments.items() if ats]
    step = account.timeline.next_step()

    if step is not None:
        is_there = step.what in ("renewal", "end of the trial")
        what = "" if is_there else step.what
        jumps.insert(0, ("next", what, step.at))

    return jumps


@bp.post("/events/<event_id>/resend")
def resend(event_id: str) -> BaseResponse:
    """Send an event once more to the endpoints that it was for."""
    account = current_account()

    with account.store.lock:
        find(account, "event", event_id)
        endpoints = account.store.hidden[event_id]["endpoints"]

    account.delivery.resend(event_id, endpoints)

    if request.form.get("back") == "event":
        return redirect(url_for(".show_event", event_id=event_id), 303)

    return redirect(url_for(".dashboard", _anchor=event_id), 303)


@bp.get("/events/<event_id>")
def show_event(event_id: str) -> str:
    """Show an event as JSON, and the attempts to deliver it."""
    account = current_account()

    with account.store.lock:
        event = find(account, "event", event_id)
        return render_template(
            "sandbox/event.html",
            event=event,
            attempts=account.store.hidden[event_id]["attempts"],
            endpoints=account.store.hidden[event_id]["endpoints"],
        )
