"""`python -m grpcsecure` is the command `grpcsecure`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # `-m` has put the current directory first, where a `secrets.py` would take the
    # place of Python's. The loader of services adds it again, as the last one.
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]

    from grpcsecure.cli.main import main

    main()
