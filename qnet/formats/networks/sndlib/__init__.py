"""Networks of SNDlib (sndlib.put.poznan.pl), in its native format or in XML.

A link has a capacity that is installed, or modules that could be; a demand needs its value times
its routing unit. Neither has a unit of rate but for what META may say, and links of a file are
directed only if each of them has one that leads back. Coordinates are longitude and latitude, or
those of a drawing, which the native format does not tell.
"""
