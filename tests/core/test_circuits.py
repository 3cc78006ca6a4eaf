import pytest

from handrail.core.circuits import FAILURES_TO_OPEN, Circuit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> Circuit:
    return Circuit(5.0, clock)


def fail(circuit: Circuit, times: int) -> None:
    for _ in range(times):
        given = circuit.enter()
        assert given is not None
        circuit.leave(given, failed=True)


def test_it_opens_after_several_failures_in_a_row(circuit: Circuit) -> None:
    fail(circuit, FAILURES_TO_OPEN - 1)
    assert circuit.seconds_left() == 0.0
    fail(circuit, 1)
    assert circuit.is_open
    assert circuit.enter() is None
    assert circuit.seconds_left() == 5.0


def test_one_success_in_between_starts_the_count_again(circuit: Circuit) -> None:
    for _ in range(10):
        fail(circuit, FAILURES_TO_OPEN - 1)
        circuit.leave("call", failed=False)
    assert not circuit.is_open


def test_after_the_pause_one_probe_goes_out_at_a_time(circuit: Circuit, clock: Clock) -> None:
    fail(circuit, FAILURES_TO_OPEN)
    clock.now += 5.0
    assert circuit.seconds_left() == 0.0
    assert circuit.enter() == "probe"
    assert circuit.is_open
    assert circuit.enter() is None
    circuit.leave("probe", failed=False)
    assert circuit.enter() == "call"
    assert circuit.enter() == "call"


def test_pauses_double_up_to_a_minute_however_long_the_outage(
    circuit: Circuit, clock: Clock
) -> None:
    fail(circuit, FAILURES_TO_OPEN)
    pauses = []
    for _ in range(2000):
        pauses.append(circuit.seconds_left())
        clock.now += circuit.seconds_left()
        assert circuit.enter() == "probe"
        circuit.leave("probe", failed=True)
    assert pauses[:6] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert pauses[-1] == 60.0


def test_those_in_flight_when_it_opens_do_not_lengthen_the_pause(circuit: Circuit) -> None:
    for _ in range(16):
        assert circuit.enter() == "call"
    for _ in range(16):
        circuit.leave("call", failed=True)
    assert circuit.seconds_left() == 5.0


def test_a_late_call_does_not_end_the_probe(circuit: Circuit, clock: Clock) -> None:
    assert circuit.enter() == "call"
    fail(circuit, FAILURES_TO_OPEN)
    clock.now += 5.0
    assert circuit.enter() == "probe"
    circuit.leave("call", failed=True)
    assert circuit.enter() is None


def test_a_cancelled_probe_lets_the_next_one_go(circuit: Circuit, clock: Clock) -> None:
    fail(circuit, FAILURES_TO_OPEN)
    clock.now += 5.0
    assert circuit.enter() == "probe"
    circuit.leave("probe", failed=None)
    assert circuit.enter() == "probe"


def test_a_partner_that_asks_for_time_gets_it_without_counting_as_failed(
    circuit: Circuit, clock: Clock
) -> None:
    circuit.pause(30.0)
    circuit.pause(10.0)
    assert circuit.seconds_left() == 30.0
    clock.now += 30.0
    assert circuit.enter() == "call"
