"""A pipeline that runs by itself, is broken on purpose, and is checked: ``faust-grpc demo``.

It is an ordinary Faust application (:mod:`faust_grpc.demo.app`) on a broker and an order service
that are started for it. What it shows is what it checks: every order that the service sent has
been processed, read back from the changelogs of the application's tables.
"""

from __future__ import annotations

from .check import Verdict
from .scenario import Outcome, run_demo
from .view import View, choose_view

__all__ = ["Outcome", "Verdict", "View", "choose_view", "run_demo"]
