"""HTTP: the API's calls, and the ways on which requests reach them."""
