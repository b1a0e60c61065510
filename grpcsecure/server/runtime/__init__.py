"""Listening and serving: the threads and asyncio runtimes, ports, bridge listeners."""
