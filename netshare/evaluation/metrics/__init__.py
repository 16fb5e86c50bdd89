"""What is compared between a real and a synthetic trace."""
