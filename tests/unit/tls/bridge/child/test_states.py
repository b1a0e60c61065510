"""The table of a connection's states is complete, and transitions are held to it."""

from __future__ import annotations

import itertools

import pytest

from grpcsecure.tls.bridge.child.states import (
    TRANSITIONS,
    ConnectionLife,
    ConnectionState,
    StateError,
)


def life_in(state):
    """Return the life of a connection that is in a state."""
    life = ConnectionLife()
    life.state = state
    return life


def test_a_connection_begins_with_its_handshake():
    """An accepted connection has proved nothing yet."""
    assert ConnectionLife().state is ConnectionState.HANDSHAKE


def test_each_state_has_a_row():
    """The table says for every state what may follow it."""
    assert TRANSITIONS.keys() == set(ConnectionState)


def test_only_closed_is_final():
    """Every other state leads to `closed`, and nothing follows that."""
    final = {state for state, following in TRANSITIONS.items() if not following}
    assert final == {ConnectionState.CLOSED}


def test_each_state_can_be_reached():
    """No state is in the table that no connection can have."""
    reached = {ConnectionState.HANDSHAKE}
    for following in TRANSITIONS.values():
        reached |= following
    assert reached == set(ConnectionState)


@pytest.mark.parametrize(
    ("before", "after"), [*itertools.product(ConnectionState, repeat=2)]
)
def test_transition_is_as_in_the_table(before, after):
    """A transition of the table is taken, any other raises and changes nothing."""
    life = life_in(before)
    if after in TRANSITIONS[before]:
        life.enter(after)
        assert life.state is after
    else:
        with pytest.raises(StateError, match=f"{before.value} to {after.value}"):
            life.enter(after)
        assert life.state is before
