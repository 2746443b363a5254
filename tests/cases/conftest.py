collect_ignore_glob = ["*/*"]  # the cases' own files are what users wrote
