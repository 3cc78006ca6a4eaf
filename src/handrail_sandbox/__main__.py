"""python -m handrail_sandbox --config FILE --state FILE.sqlite [--host H] [--port N] ..."""

import argparse
import asyncio
import logging
import sys
from dataclasses import replace
from pathlib import Path

from handrail_sandbox.config import Config, load_config
from handrail_sandbox.json_object import ConfigError
from handrail_sandbox.server import serve
from handrail_sandbox.store import CannotStart


def main() -> int:
    """Run the sandbox until it is told to stop; 2 when it cannot start."""
    options = _parse_options()
    logging.basicConfig(level=logging.WARNING, format="sandbox: %(levelname)s %(message)s")
    try:
        config = _adjust(load_config(options.config), options)
        asyncio.run(
            serve(config, state=options.state, host=options.host, port=options.port, say=_say)
        )
    except (ConfigError, CannotStart) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 2
    return 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m handrail_sandbox", description="Seven partner platforms, faked."
    )
    parser.add_argument("--config", type=Path, required=True, help="JSON, see the reference")
    parser.add_argument("--state", type=Path, required=True, help="SQLite file, made if missing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (the default): a free one")
    parser.add_argument("--faults", action="store_true", help="switch faults by chance on")
    parser.add_argument("--seed", type=int, help="of chance, instead of the configuration's")
    return parser.parse_args()


def _adjust(config: Config, options: argparse.Namespace) -> Config:
    if options.faults:
        config = replace(config, faults=replace(config.faults, on=True))
    if options.seed is not None:
        config = replace(config, seed=options.seed)
    return config


def _say(address: str) -> None:
    sys.stdout.write(f"sandbox ready on {address}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
