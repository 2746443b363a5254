"""Networks in the files of other programs: one file a format, and a table of all of them.

A reader (`graphml.py` ...) notes what stands in a file: nodes, edges, demands, each with its line
(`found.py`). `assemble.py` makes of it what qnet's own files hold, the same way for all formats,
and lists whatever was assumed, merged, renamed or left out.
"""
