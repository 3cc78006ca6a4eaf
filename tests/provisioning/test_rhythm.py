"""When a call is tried again, and how long it belongs to a worker."""

from hypothesis import given
from hypothesis import strategies as st

from handrail.enrollments.calls import KEY_MARGIN_SECONDS, can_find_out
from handrail.enrollments.provisioning import LONGEST_OUTAGE_WAIT, Rhythm
from handrail.partners.protocol import Offers

seconds = st.floats(min_value=0.01, max_value=3600)


@given(base=seconds, longest=seconds, attempt=st.integers(min_value=1, max_value=10_000))
def test_waits_double_and_stay_within_their_bounds(
    base: float, longest: float, attempt: int
) -> None:
    rhythm = Rhythm(retry_base=base, retry_max=longest)
    full = min(longest, base * 2.0 ** min(attempt - 1, 40))
    assert full / 2 <= rhythm.back_off(attempt, longest=longest) <= full


@given(attempt=st.integers(min_value=1, max_value=10_000))
def test_a_partner_that_is_away_is_asked_every_minute(attempt: int) -> None:
    rhythm = Rhythm(retry_base=5, retry_max=3600)
    assert rhythm.back_off(attempt, longest=LONGEST_OUTAGE_WAIT) <= LONGEST_OUTAGE_WAIT


@given(timeout=seconds)
def test_a_lease_outlasts_the_call(timeout: float) -> None:
    rhythm = Rhythm(call_timeout=timeout)
    assert timeout < rhythm.call_deadline < rhythm.lease


def make_offers(*, account: bool = False, enrollment: bool = False, hours: int = 0) -> Offers:
    return Offers(find_account=account, find_enrollment=enrollment, idempotency_hours=hours)


def test_what_can_be_found_out_depends_on_what_is_offered() -> None:
    assert not can_find_out("enroll", make_offers(account=True), key_age=0)
    assert not can_find_out("create_account", make_offers(enrollment=True), key_age=0)
    assert can_find_out("enroll", make_offers(enrollment=True), key_age=1e9)
    assert can_find_out("create_account", make_offers(account=True), key_age=1e9)
    assert can_find_out("unenroll", make_offers(), key_age=1e9)


def test_a_key_is_relied_on_while_the_partner_surely_honors_it() -> None:
    day = 24 * 3600
    offers = make_offers(hours=24)
    assert can_find_out("enroll", offers, key_age=day - KEY_MARGIN_SECONDS - 1)
    assert not can_find_out("enroll", offers, key_age=day - KEY_MARGIN_SECONDS)
