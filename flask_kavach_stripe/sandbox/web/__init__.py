"""HTTP: the API's calls, and the ways on which requests reach them.

Requests come over a socket (:mod:`.serving`), from a ``requests`` session in the same
process (:mod:`.adapter`), or from a WSGI test client. :mod:`.api` answers them all.
"""
