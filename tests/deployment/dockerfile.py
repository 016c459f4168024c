"""Reads the Dockerfile."""

from __future__ import annotations

import re

from local.cloud.settings import REPOSITORY


class Dockerfile:
    """The stages of the Dockerfile.

    Attributes:
        parents: by stage, in their order, the stage or image that it starts from.
        base: the build argument that names the image of others, with its default.
        instructions: by stage, its instructions: the word and what follows it.
    """

    def __init__(self) -> None:
        text = (REPOSITORY / "Dockerfile").read_text()
        lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
        self.base = dict(re.findall(r"(?m)^ARG (\w+)=(\S+)\nFROM", text))
        self.parents: dict[str, str] = {}
        self.instructions: dict[str, list[tuple[str, str]]] = {}
        for line in filter(None, lines):
            word, rest = line.split(None, 1)
            if word == "FROM":
                parent, _, stage = rest.split()
                self.parents[stage] = self.base.get(parent.strip("${}"), parent)
                self.instructions[stage] = []
            elif self.parents:
                self.instructions[stage].append((word, rest))

    def get(self, stage: str, word: str) -> list[str]:
        """What follows ``word`` in each such instruction of the stage."""
        return [rest for found, rest in self.instructions[stage] if found == word]

    def env(self, stage: str) -> dict[str, str]:
        """The variables that the stage itself sets."""
        return dict(pair.split("=", 1) for rest in self.get(stage, "ENV") for pair in rest.split())

    def copied(self, stage: str) -> dict[str, str]:
        """What the stage copies from the repository: each path with its place."""
        lines = [rest.split() for rest in self.get(stage, "COPY") if not rest.startswith("--from=")]
        return {path: words[-1] for words in lines for path in words[:-1]}
