"""What thinks: pure functions, no files, network, clock or unseeded randomness."""
