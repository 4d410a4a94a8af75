"""Starts the workers' processes, from the template of their generation if there is to be one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from typing import final

from bide.channel import Begin, Failed, Forked, Ready, Unfit
from bide.supervisor.process import Process
from bide.supervisor.template import Template

_log = logging.getLogger("bide")


@final
class Templates:
    """Holds the templates, by generation."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        look: Callable[[], None],
        new_process: Callable[[Begin], Process],
        *,
        preload: bool,
    ) -> None:
        """Begin without one.

        look: called when `take` has something to take, or a process may have ended.
        new_process: starts one in a fresh interpreter. Raises OSError.
        preload: whether workers are forked from templates.
        """
        self._loop = loop
        self._look = look
        self._new_process = new_process
        self._preload = preload
        self._templates: dict[int, Template] = {}
        self._unfit = 0  # generation whose application cannot be preloaded

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [template.pid for template in self._templates.values()]

    @property
    def is_forking(self) -> bool:
        """Whether a child may have no known id."""
        return any(template.is_forking for template in self._templates.values())

    def start(self, begin: Begin) -> Process:
        """Return a worker's process, from a fresh interpreter or a template. Raises OSError."""
        generation = begin.generation
        if not self._preload or generation == self._unfit:
            return self._new_process(begin)
        if generation not in self._templates:
            template = self._templates[generation] = Template(begin)
            self._loop.add_reader(template.channel.fileno(), self._look)
        return self._templates[generation].start(begin)

    def take(self) -> list[tuple[Process, Failed]]:
        """Take the news of all templates; return the processes that will not be forked, and why.

        These are processes whose application could not be imported. They have ended, as have those
        of a template that has ended by itself.
        """
        failed: list[tuple[Process, Failed]] = []
        for generation, template in list(self._templates.items()):
            failed += self._read(generation, template)
            if template.has_ended() and generation in self._templates:
                self.drop(generation, "the process that preloads the application has ended")
        return failed

    def keep(self, generations: Collection[int]) -> None:
        """End the templates of other generations."""
        for generation in [generation for generation in self._templates if generation not in generations]:
            self.drop(generation)

    def drop(self, generation: int, how: str = "not started") -> None:
        """End the template of a generation, if there is one.

        how: what is said of the workers that it has not forked yet.
        """
        template = self._templates.pop(generation, None)
        if template is not None:
            self._loop.remove_reader(template.channel.fileno())
            template.end(how)
            self._loop.call_soon(self._look)

    def _read(self, generation: int, template: Template) -> list[tuple[Process, Failed]]:
        """Take the messages of a template; return as `take` does."""
        failed: list[tuple[Process, Failed]] = []
        for message in template.receive():
            if isinstance(message, Ready):
                template.ready()
            elif isinstance(message, Forked):
                template.forked(message.pid)
            elif isinstance(message, Failed):
                failed += [(process, message) for process in template.unforked()]
                self.drop(generation, "status 1")
            elif isinstance(message, Unfit):
                _log.error(
                    "--preload is not possible: importing the application has started threads (%s); each worker "
                    "imports it by itself",
                    message.threads,
                )
                self._unfit = generation
                for process in template.unforked():
                    with contextlib.suppress(OSError):
                        process.spawn()
                self.drop(generation, "status 0")
        return failed
