"""What `handrail run` starts."""

from pathlib import Path

import pytest

from handrail.config.environment import DatabaseRole
from handrail.config.installation import Installation, LocalInstallation
from handrail.config.run import list_processes, sandbox_config


@pytest.mark.parametrize("switch", ["on", "off", ""])
def test_the_sandbox_is_started_where_it_is_wanted(tmp_path: Path, switch: str) -> None:
    local = LocalInstallation(tmp_path)
    sandbox_config(local.folder).parent.mkdir()
    sandbox_config(local.folder).touch()
    passwords = {role.password_variable: "x" for role in DatabaseRole}
    variables = {**passwords, **({"HANDRAIL_SANDBOX": switch} if switch else {})}

    names = [each.name for each in list_processes(Installation(variables), local)]

    assert names == ["web", "applier", "worker", *(["sandbox"] if switch == "on" else [])]
