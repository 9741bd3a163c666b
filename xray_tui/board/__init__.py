"""The board: finds, checks, ranks, analyses and exports the test artifacts of a runs folder. Imports no Textual."""
