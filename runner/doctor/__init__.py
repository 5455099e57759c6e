"""`funnel doctor`: what a run needs, and how fast it can be."""
