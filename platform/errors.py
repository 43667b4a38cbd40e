"""The errors a user sees: one line that says what is wrong, where, and what to do."""


class SkelrayError(Exception):
    """A failure the user can act on; printed as one line without a traceback."""

    exit_status = 1


class UsageError(SkelrayError):
    """The command line or a configuration is wrong: nothing was started."""

    exit_status = 2


class DataError(SkelrayError):
    """A recording, store or cache is damaged, missing or of another kind."""


class CheckpointError(SkelrayError):
    """A checkpoint is damaged, missing or belongs to something else."""
