"""Captures in: frames of pcap and pcapng files, and the conversations that they are of."""
