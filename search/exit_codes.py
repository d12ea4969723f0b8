"""What the command lines tell the shell, as grep does."""

OK = 0
"""Done, and the answer is yes: something was found, nothing is wrong."""

NO = 1
"""Done, and the answer is no: nothing was found, something is wrong."""

ERROR = 2
"""It could not be done; a line on stderr says why. Also for wrong usage."""

INTERRUPTED = 130
"""Stopped by Ctrl-C, with all finished work kept."""
