"""The network's controller: no Django, told what to keep by `tasks`."""

from sdn.controller.controller import Controller
from sdn.controller.values import ControllerObserver, HostConnection

__all__ = ["Controller", "ControllerObserver", "HostConnection"]
