"""The app's own colours: a dim reading room, a cool light on what is in hand, a warm one on what needs a look."""

from __future__ import annotations

from textual.theme import Theme

XRAY = Theme(
    name="xray",
    primary="#6cb6d9",
    secondary="#8fa3b3",
    accent="#e5b567",
    foreground="#d3dae3",
    background="#0d1117",
    surface="#11171f",
    panel="#1a232e",
    success="#7fb88a",
    warning="#e5b567",
    error="#e07a7a",
    dark=True,
    variables={
        "border": "#3a4958",
        "border-focus": "#6cb6d9",
        "cursor-row": "#22384a",
        "cursor-row-blurred": "#18222d",
        "faint": "#8494a3",
    },
)
