"""A network of real switches for somebody's own controller, judged without a plan."""
