"""Experience: n-step windows, the ring buffer on the device, and the pace between collecting and learning."""
