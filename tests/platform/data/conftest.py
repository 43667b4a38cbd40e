"""Ray on this machine, for the modules that ask for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skelray.platform import cluster


@pytest.fixture(scope="module")
def ray_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ray for a whole module, and an empty SKELRAY_HOME."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKELRAY_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("RAY_ADDRESS", raising=False)
        with cluster.connected():
            yield
