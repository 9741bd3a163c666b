"""Jobs: detached engine processes, their queue and their files under runs/.jobs. No Textual and no daemon."""
