"""What a call of Stripe's API costs: making a Checkout session, over a kept connection.

    python -m tests.benchmarks.api_call [--rounds N]

The server is on this machine and does next to nothing, so what is measured is the
client. ``requests`` alone is given a form that is flat already, the headers in each
call, and parses the answer. Most of what it takes longer is the look at the
environment, for proxies and ``~/.netrc``, which we leave out: a third case leaves it
out there, too.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import Final

import requests
import stripe

from flask_kavach_stripe.stripe_api.client import DEFAULT_API_VERSION
from flask_kavach_stripe.stripe_api.client import StripeClient
from flask_kavach_stripe.stripe_api.encoding import encode
from tests.benchmarks.harness import Calls
from tests.benchmarks.harness import compare
from tests.benchmarks.harness import Result
from tests.benchmarks.harness import TIME
from tests.benchmarks.local_stripe import local_stripe
from tests.benchmarks.options import Options
from tests.benchmarks.options import run_alone
from tests.benchmarks.samples import CHECKOUT

#: Calls of each side in one round.
COUNT: Final = 300

KEY: Final = "sk_test_of_the_benchmarks"
PATH: Final = "/v1/checkout/sessions"


def run(options: Options) -> Iterator[Result]:
    cases = [
        ("requests.Session().post", _with_requests, 1.0),
        ("the same, trust_env=False", _without_environment, None),
        ("stripe.StripeClient", _with_sdk, 0.45),
    ]

    for yardstick, make_theirs, goal in cases:
        # A server for each side, as it keeps one connection.
        with local_stripe() as our_stripe, local_stripe() as their_stripe:
            ours, theirs = _with_ours(our_stripe), make_theirs(their_stripe)

            def prepare(
                number: int,
                ours: Callable[[], object] = ours,
                theirs: Callable[[], object] = theirs,
            ) -> tuple[Calls, Calls]:
                return [ours] * COUNT, [theirs] * COUNT

            yield compare(
                "POST /v1/checkout/sessions",
                yardstick,
                prepare,
                measure=TIME,
                goal=goal,
                rounds=options.rounds,
            )


def _with_ours(url: str) -> Callable[[], object]:
    client = StripeClient(KEY, base_url=url)

    def post() -> None:
        assert client.post(PATH, CHECKOUT)["object"] == "checkout.session"

    return post


def _without_environment(url: str) -> Callable[[], object]:
    return _with_requests(url, trust_env=False)


def _with_requests(url: str, *, trust_env: bool = True) -> Callable[[], object]:
    session = requests.Session()
    session.trust_env = trust_env
    form = dict(encode(CHECKOUT))

    def post() -> None:
        response = session.post(
            url + PATH,
            data=form,
            headers={
                "Authorization": f"Bearer {KEY}",
                "Stripe-Version": DEFAULT_API_VERSION,
                "Idempotency-Key": str(uuid.uuid4()),
            },
            timeout=30,
        )
        response.raise_for_status()
        assert response.json()["object"] == "checkout.session"

    return post


def _with_sdk(url: str) -> Callable[[], object]:
    client = stripe.StripeClient(KEY, base_addresses={"api": url})
    params: Any = CHECKOUT

    def post() -> None:
        session = client.v1.checkout.sessions.create(params)
        assert session.object == "checkout.session"

    return post


if __name__ == "__main__":
    run_alone(run, __doc__)
