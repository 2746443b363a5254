"""Answer whether a network keeps its microsecond promises and its ten terabits."""

__version__ = "0.1.0"
