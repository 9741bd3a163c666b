"""`xray-tui doctor`: checks of this server, each finding with a remedy."""
