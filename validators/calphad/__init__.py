"""Phase stability by pycalphad."""
