"""Annotation files of other tools: one reader per format, the join with the images, and the drawing of masks."""
