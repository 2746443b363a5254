"""Place more of a hard set: other orders, then rounds of ruin and recreate."""
