"""The command line: `xray-tui COMMAND`, one module per group of commands."""
