"""The supervisor process, the engine process, their outcome, and recovery."""
