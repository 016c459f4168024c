"""The line on a terminal that says what a command waits for."""

from __future__ import annotations

import io

import pytest

from local.cloud.status_line import StatusLine, waiting_for


class Terminal(io.StringIO):
    """An output that says whether it is a terminal."""

    def __init__(self, *, is_terminal: bool = True) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def shown(terminal: Terminal, environ: dict[str, str]) -> str:
    with StatusLine(terminal, environ) as line:
        line.show("one")
        line.show("one")
        line.show("two")
    return terminal.getvalue()


def test_a_terminal_shows_each_text_once_and_nothing_at_the_end() -> None:
    assert shown(Terminal(), {"TERM": "xterm"}) == "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K"


@pytest.mark.parametrize(
    ("is_terminal", "environ"),
    [
        (False, {"TERM": "xterm"}),
        (True, {"TERM": "dumb"}),
        (True, {}),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}),
    ],
)
def test_other_outputs_show_nothing(is_terminal: bool, environ: dict[str, str]) -> None:
    assert shown(Terminal(is_terminal=is_terminal), environ) == ""


def test_an_error_leaves_no_line_behind() -> None:
    terminal = Terminal()

    def fail() -> None:
        with StatusLine(terminal, {"TERM": "xterm"}) as line:
            line.show("one")
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert terminal.getvalue() == "\r\x1b[Kone\r\x1b[K"


def test_a_line_is_cut_to_the_width_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    StatusLine(terminal, {"TERM": "xterm"}).show("x" * 100)
    assert terminal.getvalue() == "\r\x1b[K" + "x" * 19


def test_what_is_awaited_is_named() -> None:
    assert waiting_for(["gcs", "postgres"]) == "waiting for gcs, postgres ..."
    assert waiting_for([]) == ""
