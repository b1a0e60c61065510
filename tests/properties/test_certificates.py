"""Random certificates are judged as each engine's handshakes judge them.

`python scripts/fuzz_certificates.py` does the same for minutes, with other seeds.
"""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.effort import repeats
from support.engine_comparison import differences, needs_measured, random_cases

pytestmark = [pytest.mark.properties, needs_measured]

#: Chains that share a server, because it takes a second to start one.
SIZE = 100


# Without shrinking: a case is small, and says which parts it has.
@settings(
    max_examples=repeats(2, 5),
    derandomize=True,
    phases=[Phase.generate],
    deadline=None,
)
@given(st.integers(0, 1 << 32))
def test_explanation_is_what_the_handshake_does(seed):
    """`explain`, a handshake and a call agree on every chain, on both engines."""
    assert [*differences(random_cases(str(seed), SIZE))] == []
