"""Listening and serving: the threads and asyncio runtimes, ports, the bridge."""
