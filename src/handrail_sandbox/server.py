"""The application put together, and its life from start to stop."""

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from importlib.resources import files
from pathlib import Path

from aiohttp import web

from handrail_sandbox.api import PartnerApi
from handrail_sandbox.certificates import Certificates
from handrail_sandbox.config import Config
from handrail_sandbox.control import Control
from handrail_sandbox.delivery import Sender
from handrail_sandbox.learner import LearnerPages
from handrail_sandbox.markup import link, notice, respond_page, tag
from handrail_sandbox.office import OfficePages
from handrail_sandbox.portal import Portal, keep_results_file
from handrail_sandbox.runtime import Runtime
from handrail_sandbox.store import CannotStart, Store
from handrail_sandbox.study import run_study
from handrail_sandbox.world import World

LARGEST_BODY = 64 * 1024
logger = logging.getLogger("handrail_sandbox")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def serve(
    config: Config, *, state: Path, host: str, port: int, say: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or SIGINT; `say` is told the address when it listens.

    CannotStart when the address or the state file is taken; what stops a background task is raised
    here too.
    """
    with _listen(host, port) as listener:
        store = Store(state)
        try:
            address = f"http://{host}:{listener.getsockname()[1]}"
            runtime = Runtime(World(config, config.public_url or address), store)
            await _serve(runtime, listener, lambda: say(address))
        finally:
            await store.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=512)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(f"port {port} is in use: choose another with --port") from error
        raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror}") from error


async def _serve(runtime: Runtime, listener: socket.socket, ready: Callable[[], None]) -> None:
    runner = web.AppRunner(build_app(runtime), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=512).start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runtime.stopping.set)
    tasks = [asyncio.create_task(work) for work in _list_background(runtime)]
    stop = asyncio.create_task(runtime.stopping.wait())
    ready()
    await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
    runtime.stopping.set()
    ended = [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, stop, return_exceptions=True)
    await runner.cleanup()
    for task in ended:
        task.result()


def _list_background(runtime: Runtime) -> list[Coroutine[None, None, None]]:
    work = [run_study(runtime.world, runtime.store), Sender(runtime.world, runtime.store).run()]
    work += [
        keep_results_file(runtime, partner, partner.results_file)
        for partner in runtime.world.config.partners.values()
        if partner.results_file
    ]
    return work


def build_app(runtime: Runtime) -> web.Application:
    """Return the application: API, pages and control of every configured partner."""
    app = web.Application(
        middlewares=[_show_errors, _refuse_foreign_forms], client_max_size=LARGEST_BODY
    )
    Control(runtime).add_routes(app.router)
    for partner in runtime.world.config.partners.values():
        learner = LearnerPages(runtime, partner)
        PartnerApi(runtime, partner).add_routes(app.router)
        OfficePages(runtime, partner).add_routes(app.router)
        Certificates(runtime, partner).add_routes(app.router)
        learner.add_routes(app.router)
        if partner.platform.has_portal:
            Portal(runtime, partner, learner).add_routes(app.router)
    style = files("handrail_sandbox").joinpath("style.css").read_text("utf-8")
    app.router.add_get("/", partial(_show_partners, runtime=runtime))
    app.router.add_get("/style.css", partial(_send, text=style, content_type="text/css"))
    app.router.add_get("/healthz", partial(_send, text="ok\n", content_type="text/plain"))
    return app


async def _show_partners(_request: web.Request, *, runtime: Runtime) -> web.Response:
    items = [
        tag("li", link(partner.platform.name, f"/{slug}/"))
        for slug, partner in runtime.world.config.partners.items()
    ]
    return respond_page("Partners", tag("ul", items, class_="cards"))


async def _send(_request: web.Request, *, text: str, content_type: str) -> web.Response:
    return web.Response(text=text, content_type=content_type)


@web.middleware
async def _refuse_foreign_forms(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A browser says where a form comes from: other sites may not press our buttons."""
    if request.method == "POST":
        site = request.headers.get("Sec-Fetch-Site", "none")
        origin = request.headers.get("Origin", "")
        own = ("", f"http://{request.host}", f"https://{request.host}")
        if origin not in own or site not in {"none", "same-origin"}:
            raise web.HTTPForbidden(text="This form was sent from another site.")
    return await handler(request)


@web.middleware
async def _show_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors as JSON for programs, as a page for people; what is unexpected is logged."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        status, message = error.status, error.text or error.reason
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        status, message = 500, "Something went wrong on our side."
    if not _is_for_programs(request):
        return respond_page("That did not work", notice(message, is_error=True), status=status)
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 500: "internal_error"}
    body = {"error": codes.get(status, "refused"), "message": message}
    return web.json_response(body, status=status)


def _is_for_programs(request: web.Request) -> bool:
    return request.path.startswith("/control/") or "/api/" in request.path
