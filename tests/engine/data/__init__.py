"""Tests of the room engine/data; a package, so that its tests can share their small sources."""
