"""xray-tui: GPUs, leaderboard and jobs of an X-ray fracture-segmentation challenge in one terminal."""
