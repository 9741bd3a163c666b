"""The app's own theme, and defaults for style variables that other themes lack."""

from __future__ import annotations

from rich.color import ColorSystem
from textual.app import App
from textual.color import Color
from textual.theme import Theme

from engine.contract.text import clean

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
        "panel-border": "#3a434f",
        "faint": "#8494a3",
        "text-key": "#6cb6d9",
        "text-marked": "#e4b567",
        "text-good": "#7fb88a",
        "text-warm": "#e4b567",
        "text-bad": "#df7a7a",
        "footer-key": "#e4b567",
    },
)


def choose_theme(app: App[None], name: str) -> list[str]:
    """Set the theme of this name; if it is unknown, set XRAY and return a message."""
    app.register_theme(XRAY)
    if name in app.available_themes:
        app.theme = name
        return []
    app.theme = XRAY.name
    known = ", ".join(sorted(app.available_themes))
    return [f"settings: theme: {clean(name)}: unknown theme; expected one of {known}"]


def variable_defaults(theme: Theme) -> dict[str, str]:
    """Defaults for style variables that Textual's themes do not define; a theme may override them.

    A theme's own `warning` or `success` is meant as a background; as text on a light background it is hardly visible.
    """
    colors = theme.to_color_system().generate()
    primary, foreground = colors["primary"], Color.parse(colors["foreground"])
    if foreground.ansi is not None:  # ANSI colours have no RGB value to blend
        border, cursor, blurred, faint = foreground.hex, f"{primary} 25%", "ansi_bright_black", foreground.hex
    else:
        background = Color.parse(colors["background"])
        border, faint = background.blend(foreground, 0.25).hex, background.blend(foreground, 0.8).hex
        cursor = visible(background, Color.parse(primary), 0.25).hex
        blurred = visible(background, foreground, 0.16).hex
    return {
        "panel-border": border,
        "border-focus": primary,
        "cursor-row": cursor,
        "cursor-row-blurred": blurred,
        "faint": faint,
        "text-key": colors["text-primary"],
        "text-marked": colors["text-accent"],
        "text-good": colors["text-success"],
        "text-warm": colors["text-warning"],
        "text-bad": colors["text-error"],
        "footer-key": theme.variables.get("footer-key-foreground", colors["text-accent"]),
    }


def visible(background: Color, other: Color, share: float) -> Color:
    """The background with at least this share of the other colour, and with so much of it that the two still differ in
    a terminal of 256 or 16 colours."""
    systems = ColorSystem.EIGHT_BIT, ColorSystem.STANDARD
    for percent in range(round(100 * share), 100, 4):
        color = background.blend(other, percent / 100)
        if all(color.rich_color.downgrade(system) != background.rich_color.downgrade(system) for system in systems):
            return color
    return other
