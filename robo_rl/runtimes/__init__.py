"""Who starts the roles, and how messages travel between them."""
