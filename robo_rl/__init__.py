"""robo_rl: robotic manipulation with actor-critics whose value heads are trained by classification."""

__version__ = "0.1.0"
