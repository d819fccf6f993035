"""Who of several controllers may write: the rules of the specification's section 5, one by one."""

from __future__ import annotations

import pytest

from dpu_app.p4rt.arbitration import Arbitration, Controller, StreamRefused, number, uint128
from dpu_app.p4rt.stubs import Message, code, v1

HUGE = (1 << 127) + 5


def bid(election_id: int | None, device_id: int = 1, role: str = "") -> Message:
    message = v1.MasterArbitrationUpdate(device_id=device_id)
    if election_id is not None:
        message.election_id.CopyFrom(uint128(election_id))
    if role:
        message.role.name = role
    return message


def told(notices: list[tuple[Controller, Message]]) -> dict[Controller, tuple[int, int]]:
    """Controller -> status and highest election id that it is told."""
    return {controller: (message.status.code, number(message.election_id)) for controller, message in notices}


def test_first_controller_becomes_primary() -> None:
    one, arbitration = Controller(), Arbitration(1)
    assert told(arbitration.update(one, bid(1))) == {one: (code.OK, 1)}
    assert arbitration.may_write(1)


def test_election_ids_have_128_bits() -> None:
    one, two, arbitration = Controller(), Controller(), Arbitration(1)
    arbitration.update(one, bid(HUGE))
    arbitration.update(two, bid((1 << 64) - 1))
    assert arbitration.primary is one
    assert arbitration.may_write(HUGE)
    assert not arbitration.may_write((1 << 64) - 1)


def test_higher_id_takes_over_and_both_are_told() -> None:
    one, two, arbitration = Controller(), Controller(), Arbitration(1)
    arbitration.update(one, bid(1))
    assert told(arbitration.update(two, bid(2))) == {one: (code.ALREADY_EXISTS, 2), two: (code.OK, 2)}
    assert not arbitration.may_write(1)


def test_lower_id_is_a_backup_and_only_it_is_told() -> None:
    one, two, arbitration = Controller(), Controller(), Arbitration(1)
    arbitration.update(one, bid(5))
    assert told(arbitration.update(two, bid(4))) == {two: (code.ALREADY_EXISTS, 5)}


def test_unset_id_never_becomes_primary() -> None:
    one, arbitration = Controller(), Arbitration(1)
    ((_controller, notice),) = arbitration.update(one, bid(None))
    assert notice.status.code == code.NOT_FOUND
    assert not notice.HasField("election_id")
    assert not arbitration.may_write(None)


def test_id_zero_is_an_id_and_the_lowest() -> None:
    one, two, arbitration = Controller(), Controller(), Arbitration(1)
    assert told(arbitration.update(one, bid(0))) == {one: (code.OK, 0)}
    assert told(arbitration.update(two, bid(1))) == {one: (code.ALREADY_EXISTS, 1), two: (code.OK, 1)}


def test_primary_that_goes_leaves_none_until_a_high_enough_id_comes() -> None:
    one, two, arbitration = Controller(), Controller(), Arbitration(1)
    arbitration.update(one, bid(5))
    arbitration.update(two, bid(4))
    assert told(arbitration.gone(one)) == {two: (code.NOT_FOUND, 5)}
    assert not arbitration.may_write(5)
    assert told(arbitration.update(two, bid(5))) == {two: (code.OK, 5)}


def test_backup_that_goes_is_not_announced() -> None:
    one, two, arbitration = Controller(), Controller(), Arbitration(1)
    arbitration.update(one, bid(5))
    arbitration.update(two, bid(4))
    assert arbitration.gone(two) == []
    assert arbitration.gone(two) == []


def test_primary_that_lowers_its_id_is_told_with_everybody() -> None:
    one, two, arbitration = Controller(), Controller(), Arbitration(1)
    arbitration.update(one, bid(5))
    arbitration.update(two, bid(4))
    assert told(arbitration.update(one, bid(3))) == {one: (code.NOT_FOUND, 5), two: (code.NOT_FOUND, 5)}


@pytest.mark.parametrize(
    ("first", "then", "status"),
    [
        (None, bid(1, device_id=2), code.NOT_FOUND),
        (bid(1), bid(1, device_id=2), code.FAILED_PRECONDITION),
        (None, bid(1, role="sdn"), code.INVALID_ARGUMENT),
        (bid(1), bid(1, role="sdn"), code.FAILED_PRECONDITION),
    ],
)
def test_stream_that_asks_for_what_is_not_here_ends(first: Message | None, then: Message, status: int) -> None:
    one, arbitration = Controller(), Arbitration(1)
    if first is not None:
        arbitration.update(one, first)
    with pytest.raises(StreamRefused) as refused:
        arbitration.update(one, then)
    assert refused.value.status == status


def test_id_of_another_live_controller_is_refused() -> None:
    one, two, arbitration = Controller(), Controller(), Arbitration(1)
    arbitration.update(one, bid(1))
    with pytest.raises(StreamRefused) as refused:
        arbitration.update(two, bid(1))
    assert refused.value.status == code.INVALID_ARGUMENT
    assert arbitration.update(one, bid(1)) != []
