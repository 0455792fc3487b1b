"""The `hopsight` command: a Hopsight server from a terminal, by its REST API alone.

Exit codes: 0 done; 1 the server refused, or what was waited for failed; 2 wrong words; 3 not logged in; 4 no answer.
"""
