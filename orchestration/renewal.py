"""How an agent's process asks for another one in its place, with nothing wrong: by its exit status."""

#: EX_TEMPFAIL of sysexits.h. Whoever was ready and ends with it is replaced at once, whatever its restart policy.
RENEWAL = 75
