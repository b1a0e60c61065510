"""Listening and serving: the threads and asyncio runtimes, their ports and the bridge."""
