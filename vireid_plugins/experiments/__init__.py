"""Many runs: sweep a grid, collect the scores of folders, compare two methods."""
