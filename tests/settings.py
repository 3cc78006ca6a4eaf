"""Django settings of the tests: those of production with debug's fixed secrets.

`tests/conftest.py` points the database at the test cluster; nothing else differs but the price
of a password hash.
"""

import os

os.environ.setdefault("HANDRAIL_DEBUG", "on")

from handrail.config.settings import *  # noqa: F403

DEBUG = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
