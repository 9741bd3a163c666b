"""The board: test artifacts found under a runs folder, judged, ranked, explained and exported. No Textual in here."""
