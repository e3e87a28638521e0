"""A fitter whose process is killed at some pictures, for tests of clusters; called as ``cheap_bodies.cheap_fitter``."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from cheap_bodies import cheap_fitter


class Mortal:
    """Fits cheaply, and kills its process at a picture called ``once*`` (the first time) or ``always*``."""

    def __init__(self, *arguments, **options) -> None:
        self._fitter = cheap_fitter(*arguments, **options)

    def __getattr__(self, name):
        return getattr(self._fitter, name)

    def fit_input(self, picture):
        """As :meth:`dsr.pipeline.picture_fitter.Fitter.fit_input`."""
        mark = Path(os.environ["MORTAL_MARKS"]) / picture.path.name
        if picture.path.name.startswith("always") or (picture.path.name.startswith("once") and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self._fitter.fit_input(picture)
