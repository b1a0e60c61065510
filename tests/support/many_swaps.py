"""A process that watches a volume that changes over and over: `many_swaps.py FOLDER`.

Prints what it holds, as JSON: at rest, while it watches, after the changes, at the end.
It is a process of its own since others of a test run come and go: gRPC's descriptors.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from support.mounted_files import Volume
from support.watching import Witness, resources

from grpcsecure.watch.digest import WatchSet

CHANGES = 1000


def run(folder: Path) -> list[tuple[int, int, int]]:
    """Change the file of a volume so often; each change is seen before the next."""
    volume = Volume(folder, {"tls.crt": "0"})
    path = volume.folder / "tls.crt"
    held = [resources()]
    with Witness(
        WatchSet(files=(path,)), interval=60, events=True, settle=0.001
    ) as witness:
        witness.wait_until_armed()
        held.append(resources())
        for number in range(CHANGES):
            volume.swap({"tls.crt": f"change {number}"})
            while witness.next().contents[str(path)] != f"change {number}":
                pass
        witness.wait_until_armed()
        held.append(resources())
    held.append(resources())
    return held


if __name__ == "__main__":
    json.dump(run(Path(sys.argv[1])), sys.stdout)
