"""What the handlers of one running sandbox share."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from handrail_sandbox.store import Store
from handrail_sandbox.world import World


@dataclass(frozen=True, slots=True)
class Runtime:
    world: World
    store: Store
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    working: Counter[str] = field(default_factory=Counter)  # slug → requests being worked on
