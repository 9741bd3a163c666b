"""The engine of xray-tui: data, models, training, evaluation and blending, behind the command line `xray-engine`."""

__version__ = "0.1.0"
