"""Every error that burnish raises on purpose.

    BurnishError                 exit code
      UsageError                 64  the command line asks for something that does not exist
      DataError                  65  a file's content is wrong
        CheckpointError          65  every checkpoint of a run is damaged
      MissingInput               66  a file, folder or model is not there
      Unreachable                69  a reward, judge or served model does not answer, or not so that it can be read
      NonFiniteLoss              70  a loss or gradient is NaN or infinite
      OutOfMemory                71  the machine's memory is used up
      NotOurs                    73  the output cannot be made there, or belongs to another run
      WriteFailed                74  the disk is full or fails
      Interrupted                75  stopped after a clean save: run the same command again
      ConfigError                78  settings are wrong or do not fit together, or a check before step one refuses

The codes are those of sysexits.h. A message says what is wrong, where, what was found and what to do; it is shown
once, around the program, without a traceback.
"""


class BurnishError(Exception):
    """Something that the user can mend. `exit_code` is what the command ends with."""

    exit_code = 70


class UsageError(BurnishError):
    exit_code = 64


class DataError(BurnishError):
    exit_code = 65


class CheckpointError(DataError):
    pass


class MissingInput(BurnishError):
    exit_code = 66


class Unreachable(BurnishError):
    exit_code = 69


class NonFiniteLoss(BurnishError):
    exit_code = 70


class OutOfMemory(BurnishError):
    exit_code = 71


class NotOurs(BurnishError):
    exit_code = 73


class WriteFailed(BurnishError):
    exit_code = 74


class Interrupted(BurnishError):
    exit_code = 75


class ConfigError(BurnishError):
    exit_code = 78
