"""What a run says about itself: rows and their sinks, intervals, the live display, and videos."""
