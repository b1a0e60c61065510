"""A process that watches a volume that changes often: `many_swaps.py FOLDER CHANGES`.

Prints its counts of threads, descriptors and watches, as JSON: before watching, while
watching, after the changes, and at the end. It is a separate process because in a test
run other descriptors are opened and closed: gRPC's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from support.mounted_files import Volume
from support.watching import RecordingWatcher, resources

from grpcsecure.watch.digest import WatchSet


def run(folder: Path, changes: int) -> list[tuple[int, int, int]]:
    """Change the file `changes` times; each change is seen before the next is made."""
    volume = Volume(folder, {"tls.crt": "0"})
    path = volume.folder / "tls.crt"
    counts = [resources()]
    with RecordingWatcher(
        WatchSet(files=(path,)), interval=60, events=True, settle=0.001
    ) as watcher:
        watcher.wait_until_ready()
        counts.append(resources())
        for number in range(changes):
            volume.swap({"tls.crt": f"change {number}"})
            while watcher.next().contents[str(path)] != f"change {number}":
                pass
        watcher.wait_until_ready()
        counts.append(resources())
    counts.append(resources())
    return counts


if __name__ == "__main__":
    json.dump(run(Path(sys.argv[1]), int(sys.argv[2])), sys.stdout)
