"""The room that the engine and the app share: file names, file formats and config models. No torch, no numpy."""
