"""`python -m grpcsecure` is the command `grpcsecure`."""

from __future__ import annotations

from grpcsecure.cli.main import main

if __name__ == "__main__":
    main()
