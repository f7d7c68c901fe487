"""Post to the app's own webhook in this process, and say what the answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import Final
from typing import NamedTuple

from flask import current_app

from ..testing import post_event

#: The codes of our answers that come with a line in the log.
_LOGGED: Final = frozenset(
    {
        "database_unavailable",
        "handler_failed",
        "invalid_json",
        "invalid_signature",
        "missing_table",
        "queue_unavailable",
        "stripe_unavailable",
    }
)

_ADVICE: Final = (
    "Let requests to the endpoint 'kavach_stripe.webhook' pass, such as in"
    " 'before_request' functions."
)


class Answer(NamedTuple):
    """The app's answer to a webhook."""

    #: The HTTP status.
    status: int
    #: Where a redirect leads.
    location: str | None
    #: The JSON object of the body; empty if the body is anything else.
    json: Mapping[str, Any]
    #: The body, if it is text.
    text: str

    @property
    def is_received(self) -> bool:
        """Whether our webhook took the event. A log-in page has status 200, too."""
        return self.status == 200 and self.json.get("received") is True

    @property
    def is_bad_signature(self) -> bool:
        """Whether our webhook looked at the signature, and refused it."""
        return self.status == 400 and self.json.get("code") == "invalid_signature"


def post_to_webhook(
    event: Mapping[str, Any] | bytes,
    secret: str | None = None,
    *,
    path: str | None = None,
) -> Answer:
    """Post an event to the current app's webhook, as Stripe does: signed, over https.

    The request runs in an app context and a session of its own. Without ``SERVER_NAME``
    its host is the first of ``TRUSTED_HOSTS``, or ``localhost``.

    :param event: The event, or the bytes of a body.
    :param secret: The signing secret; by default the app's first one.
    :param path: Another path of the webhook, such as one of ``STRIPE_WEBHOOK_PATHS``.
    :raises ConfigurationError: If there is no signing secret.

    An exception of the app is raised unchanged where the app propagates exceptions, as
    it does while it is tested or debugged.
    """
    config = current_app.config
    hosts = [config["SERVER_NAME"], *(config.get("TRUSTED_HOSTS") or ()), "localhost"]
    host = next(filter(None, hosts)).lstrip(".")

    with current_app.app_context():
        client = current_app.test_client(use_cookies=False)
        with post_event(
            client, event, secret=secret, origin=f"https://{host}", path=path
        ) as response:
            body = response.get_json(silent=True)
            return Answer(
                response.status_code,
                response.location,
                body if isinstance(body, dict) else {},
                response.get_data().decode(errors="replace"),
            )


def explain_answer(answer: Answer) -> str:
    """Say why an answer is not the one that Stripe needs, and what to do.

    :param answer: Any answer but one that :attr:`Answer.is_received`.
    """
    status = answer.status

    if answer.json.get("code") in _LOGGED:
        return f"{answer.json.get('error')} The log says more."

    if 300 <= status < 400:
        return (
            f"The app sent it to {answer.location} (status {status}), and Stripe"
            f" follows no redirect. {_ADVICE}"
        )

    if status in (400, 403) and "csrf" in answer.text.lower():
        return (
            f"The app's CSRF protection refused it (status {status}), and Stripe sends"
            " no token. Exempt the view 'flask_kavach_stripe.views.webhook'."
        )

    if status in (401, 403):
        return f"The app refused it (status {status}) before the webhook. {_ADVICE}"

    if status == 404:
        return (
            "The app has nothing at that path (status 404), or hides it. Look at"
            f" 'SERVER_NAME' and 'flask routes'. {_ADVICE}"
        )

    return (
        f"Something else in the app answered before the webhook (status {status})."
        f" {_ADVICE}"
    )
