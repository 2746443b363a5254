"""OpenFlow 1.3 by the standard library alone: nouns, frames, tables, texts, messages."""
