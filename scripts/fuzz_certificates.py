"""Compares the model of the engines with handshakes, for random certificates.

python scripts/fuzz_certificates.py [--seconds 300] [--seed N]

Each batch starts a server with a listener of each engine, and hundreds of client CAs.
Clients present random chains (`tests/support/random_certificates.py`): keys,
signatures, extensions, names, dates, shapes. Exits with 1 if a handshake or call ended
otherwise than `explain` says, or if a certificate that the engine accepted is refused
at the call.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "examples")]
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # otherwise it logs each refusal

from support.engine_comparison import differences, random_cases  # noqa: E402

#: Certificates that share a server.
_BATCH = 250
#: Batches after which the number of chains is printed.
_REPORTED = 4


def fuzz(seconds: float, seed: str) -> tuple[int, list[str]]:
    """Compare until the time is over; return how many chains, and the differences."""
    end = time.monotonic() + seconds
    faults: list[str] = []
    batch = 0
    while not batch or time.monotonic() < end:
        cases = random_cases(f"{seed} {batch}", _BATCH)
        for fault in differences(cases):
            faults.append(fault)
            print(f"DIFFERENCE in batch {batch}: {fault}", flush=True)
        batch += 1
        if not batch % _REPORTED:
            print(f"{batch * _BATCH} chains", flush=True)
    return batch * _BATCH, faults


def main() -> None:
    """Fuzz, and print the differences."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:g} seconds", flush=True)
    logging.disable(logging.CRITICAL)  # of refused handshakes
    count, faults = fuzz(options.seconds, options.seed)
    print(f"seed {options.seed}: {count} chains, {len(faults)} differences")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
