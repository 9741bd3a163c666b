"""What is made from trained runs besides their artifacts: masks of new images, comparisons, pages of cases."""
