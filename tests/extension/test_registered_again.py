"""A handler that is registered again, by an app factory or in a loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import post_event
from tests.extension.apps import create_tables
from tests.extension.apps import make_user_model
from tests.extension.apps import subscribe

PAID = make_event("invoice.paid", {"id": "in_1"}, id="evt_1")


def pay(app: Flask) -> None:
    assert post_event(app.test_client(), PAID).status_code == 200


class Factory:
    """An app factory that registers a handler in each call, as people write it."""

    def __init__(self, make_app: Callable[..., Any], kavach_stripe: KavachStripe):
        self.make_app = make_app
        self.kavach_stripe = kavach_stripe
        self.called: list[Any] = []
        self.models: list[Any] = []  # SQLAlchemy holds them weakly

    def create_app(self, register: Callable[[Flask], None], *, late: bool) -> Flask:
        app: Flask
        app, db = self.make_app()

        if late:
            self.kavach_stripe.init_app(app)
            register(app)
        else:
            register(app)
            self.kavach_stripe.init_app(app)

        self.models.append(make_user_model(db))
        create_tables(app, db, self.models[-1](stripe_customer_id="cus_1"))
        return app


@pytest.fixture
def factory(make_app: Callable[..., Any]) -> Factory:
    return Factory(make_app, KavachStripe())


@pytest.mark.parametrize("late", [False, True], ids=["before init_app", "after"])
def test_app_factory_that_is_called_three_times_gives_credits_once(
    factory: Factory, late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def register(app: Flask) -> None:
        @factory.kavach_stripe.on("invoice.paid")
        def give_credits(event: Any) -> None:
            factory.called.append(app)  # the function has captured its own app

    apps = [factory.create_app(register, late=late) for _ in range(3)]
    pay(apps[2])
    assert factory.called == [apps[2]]
    warnings = [each.message for each in caplog.records if "again" in each.message]
    assert len(warnings) == 2
    assert "give_credits' was registered again for 'invoice.paid'" in warnings[0]
    assert "module level" in warnings[0]


@pytest.mark.parametrize("late", [False, True], ids=["before init_app", "after"])
def test_app_factory_that_is_called_twice_tells_of_a_change_once(
    factory: Factory, late: bool
) -> None:
    def register(app: Flask) -> None:
        @factory.kavach_stripe.on_subscription_change
        def changed(user: Any, subscription: Any) -> None:
            factory.called.append(subscription.id)

    factory.create_app(register, late=late)
    assert subscribe(factory.create_app(register, late=late)) == 200
    assert factory.called == ["sub_1"]


def test_function_that_registers_and_is_called_twice(factory: Factory) -> None:
    """No app was set up in between, and nothing captured differs."""

    def register(app: Flask) -> None:
        for _ in range(2):

            @factory.kavach_stripe.on("invoice.paid")
            def give_credits(event: Any) -> None:
                factory.called.append("called")

    pay(factory.create_app(register, late=True))
    assert factory.called == ["called"]


def test_handlers_keep_their_order_when_they_are_registered_again(
    factory: Factory,
) -> None:
    def register(app: Flask) -> None:
        @factory.kavach_stripe.on("invoice.paid")
        def first(event: Any) -> None:
            factory.called.append("first")

        @factory.kavach_stripe.on("invoice.paid")
        def second(event: Any) -> None:
            factory.called.append("second")

    factory.create_app(register, late=False)
    pay(factory.create_app(register, late=False))
    assert factory.called == ["first", "second"]


def test_other_patterns_are_another_registration(factory: Factory) -> None:
    def register(app: Flask) -> None:
        def note(event: Any) -> None:
            factory.called.append("called")

        factory.kavach_stripe.on("invoice.paid")(note)
        factory.kavach_stripe.on("invoice.*")(note)

    pay(factory.create_app(register, late=False))
    assert factory.called == ["called", "called"]


def test_two_handlers_of_the_same_name_both_run(factory: Factory) -> None:
    def register(app: Flask) -> None:
        @factory.kavach_stripe.on("invoice.paid")
        def _(event: Any) -> None:
            factory.called.append(1)

        @factory.kavach_stripe.on("invoice.paid")
        def _(event: Any) -> None:
            factory.called.append(2)

    pay(factory.create_app(register, late=False))
    assert factory.called == [1, 2]


class Plan:
    def __init__(self, name: str) -> None:
        self.name = name

    def note(self, called: list[Any], event: Any) -> None:
        called.append(self.name)


def by_default(called: list[Any], plan: Plan) -> Callable[[Any], None]:
    def note(event: Any, plan: Plan = plan) -> None:
        called.append(plan.name)

    return note


def by_keyword(called: list[Any], plan: Plan) -> Callable[[Any], None]:
    def note(event: Any, *, plan: Plan = plan) -> None:
        called.append(plan.name)

    return note


def by_closure(called: list[Any], plan: Plan) -> Callable[[Any], None]:
    def note(event: Any) -> None:
        called.append(plan.name)

    return note


def by_lambda(called: list[Any], plan: Plan) -> Callable[[Any], None]:
    return lambda event: called.append(plan.name)


def by_partial(called: list[Any], plan: Plan) -> Callable[[Any], None]:
    return functools.partial(Plan.note, plan, called)


def by_keywords_of_a_partial(called: list[Any], plan: Plan) -> Callable[[Any], None]:
    def note(event: Any, *, plan: Plan) -> None:
        called.append(plan.name)

    return functools.partial(note, plan=plan)


def by_method(called: list[Any], plan: Plan) -> Callable[[Any], None]:
    return functools.partial(plan.note, called)


def by_decorator(called: list[Any], plan: Plan) -> Callable[[Any], None]:
    def logged(handler: Callable[[Any], None]) -> Callable[[Any], None]:
        @functools.wraps(handler)
        def wrapper(event: Any) -> None:
            handler(event)

        return wrapper

    return logged(by_closure(called, plan))


MAKERS = [
    by_default,
    by_keyword,
    by_closure,
    by_lambda,
    by_partial,
    by_keywords_of_a_partial,
    by_method,
    by_decorator,
]


@pytest.mark.parametrize("make", MAKERS)
def test_loop_makes_a_handler_for_each_plan(
    factory: Factory, make: Callable[[list[Any], Plan], Callable[[Any], None]]
) -> None:
    def register(app: Flask) -> None:
        for name in ("pro", "team"):
            factory.kavach_stripe.on("invoice.paid")(make(factory.called, Plan(name)))

    for _ in range(2):  # and the factory's next app has no more of them
        app = factory.create_app(register, late=False)

    pay(app)
    assert factory.called == ["pro", "team"]


def test_handlers_of_two_texts_stay_two_whenever_they_are_registered(
    factory: Factory,
) -> None:
    """The second one comes after ``init_app``, as from a blueprint imported late."""

    def make(name: str) -> Callable[[Any], None]:
        def note(event: Any) -> None:
            factory.called.append(name)

        return note

    def register(app: Flask) -> None:
        factory.kavach_stripe.on("invoice.paid")(make("team"))

    factory.kavach_stripe.on("invoice.paid")(make("pro"))
    pay(factory.create_app(register, late=True))
    assert factory.called == ["pro", "team"]


def test_two_handlers_behind_one_decorator_stay_two(factory: Factory) -> None:
    """It hides their names, and the second comes after ``init_app``."""

    def logged(handler: Callable[[Any], None]) -> Callable[[Any], None]:
        def wrapper(event: Any) -> None:
            handler(event)

        return wrapper

    @factory.kavach_stripe.on("invoice.paid")
    @logged
    def first(event: Any) -> None:
        factory.called.append("first")

    def register(app: Flask) -> None:
        @factory.kavach_stripe.on("invoice.paid")
        @logged
        def second(event: Any) -> None:
            factory.called.append("second")

    pay(factory.create_app(register, late=True))
    assert factory.called == ["first", "second"]


def test_function_that_captures_itself(factory: Factory) -> None:
    def register(app: Flask) -> None:
        def note(event: Any, again: bool = True) -> None:
            factory.called.append(again)

            if again:
                note(event, False)

        factory.kavach_stripe.on("invoice.paid")(note)

    factory.create_app(register, late=False)
    pay(factory.create_app(register, late=False))
    assert factory.called == [True, False]


def test_object_that_can_be_called_is_itself_alone(factory: Factory) -> None:
    class Note:
        def __call__(self, event: Any) -> None:
            factory.called.append(self)

    one, other = Note(), Note()

    def register(app: Flask) -> None:
        for each in (one, other, one):
            factory.kavach_stripe.on("invoice.paid")(each)

    pay(factory.create_app(register, late=False))
    assert factory.called == [one, other]
