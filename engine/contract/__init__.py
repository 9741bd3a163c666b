"""Shared by the engine and the app: file names, file formats and config models. No torch, no numpy."""
