"""Commands of the processes that work in the background."""


def worker() -> None:
    """Make the calls to partners, do the jobs, keep the rhythms, until SIGTERM or Ctrl-C."""
    import asyncio
    import signal

    import uvloop

    from handrail.core.worker import run_worker

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run_worker(stop)

    uvloop.run(run())
