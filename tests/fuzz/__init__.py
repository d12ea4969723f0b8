"""Fuzzing: any bytes go in, only documented errors may come out. docs/FUZZING.md says how, and what was found."""
