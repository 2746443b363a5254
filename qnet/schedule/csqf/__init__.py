"""CSQF: TCQF with a free choice of extra cycles at each hop (draft-chen-detnet-csqf)."""
