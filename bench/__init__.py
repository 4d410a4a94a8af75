"""The side-by-side benchmark of bide and its peers: `python -m bench`."""
