"""The comparison: losses x tasks x seeds from one file, trained with everything else held equal, and judged."""
