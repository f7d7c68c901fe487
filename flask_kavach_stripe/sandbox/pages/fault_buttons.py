"""Faults on demand: their form on the dashboard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast
from typing import Final

from flask import abort
from flask import redirect
from flask import request
from flask import url_for
from werkzeug.wrappers import Response as BaseResponse

from ..faults import ApiFault
from ..faults import Fault
from ..faults import KINDS
from ..faults import WebhookFault
from ..web.api import current_account
from .blueprint import bp

#: How often a fault strikes: in words, and as :meth:`Faults.add` wants it.
COUNTS: Final[Mapping[str, tuple[str, float, float]]] = {
    "once": ("once", 1, 1.0),
    "thrice": ("3 times", 3, 1.0),
    "sometimes": ("1 time in 4", math.inf, 0.25),
    "always": ("every time", math.inf, 1.0),
}


@bp.app_template_filter("fault_words")
def fault_words(kind: str) -> str:
    """Return what a kind of fault does, as a sentence begins."""
    words = KINDS[kind]
    return words[0].upper() + words[1:]


@bp.app_template_filter("fault_count")
def fault_count(fault: Fault) -> str:
    """Return how often a fault strikes, and how often it has."""
    if fault.probability < 1:
        often = f"{fault.probability:.0%} of the time"
    elif fault.times == math.inf:
        often = "every time"
    else:
        often = f"{fault.times - fault.hits:.0f} more"

    return f"{often}, {fault.hits} so far"


@bp.post("/faults")
def add_fault() -> BaseResponse:
    """Let something go wrong, as the form says; 400 for what faults do not know."""
    account = current_account()
    kind = request.form.get("kind", "")
    count = request.form.get("count", "once")
    on = request.form.get("on", "").strip() or "*"

    if kind not in KINDS or count not in COUNTS:
        abort(400, "Unknown fault.")

    _, times, probability = COUNTS[count]

    try:
        account.faults.add(
            cast(WebhookFault | ApiFault, kind),
            on,
            times=times,
            probability=probability,
        )
    except ValueError as error:
        abort(400, str(error))

    return redirect(url_for(".dashboard", _anchor="faults"), 303)


@bp.post("/faults/remove")
def remove_fault() -> BaseResponse:
    """Take one fault back, or all of them if none is named."""
    faults = current_account().faults
    key = request.form.get("fault")

    if key is None:
        faults.clear()

    for fault in faults:
        if fault_key(fault) == key:
            faults.remove(fault)

    return redirect(url_for(".dashboard", _anchor="faults"), 303)


def fault_key(fault: Fault) -> str:
    """Return what names a fault in a form while it is there."""
    return f"{id(fault):x}"
