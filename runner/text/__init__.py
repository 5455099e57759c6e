"""What people read: numbers and dates in words, tables for a terminal."""
