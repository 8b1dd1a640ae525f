"""The failures that the pipeline tells apart, because somebody acts on the difference.

Every message says what came, what was expected and what to do. Whether a step is retried hangs on the class alone
(see `tasks.policies`): only a `TransientError` may go away by itself.
"""


class PipelineError(Exception):
    """A failure with a cause that a person can act on; shown in one line, without a traceback."""


class TransientError(PipelineError):
    """A network that is down, a server that is lost, a process that was killed: the same call may succeed later."""


class ConfigurationError(PipelineError):
    """An option, a variable or a file of settings that cannot be right."""


class CodeChangedError(PipelineError):
    """The code on disk is no longer that of the running process: what a step gave would belong to neither."""


class SourceError(PipelineError):
    """Data that is missing, truncated, altered or not in the CIFAR-10 binary format."""


class SourceUnreachableError(TransientError):
    """No host of the list gave the archive."""


class StoreError(PipelineError):
    """The store cannot be read or written: rights, space, or a damaged artifact."""


class ChildError(PipelineError):
    """The child process ended without a result: a bug in it, a signal, or bad input."""


class ChildTimeoutError(ChildError):
    """The child process ran past its limit of wall-clock time and was ended."""


class ChildStalledError(ChildError, TransientError):
    """The child process said nothing for too long and was ended. Tried again, it goes on from what it had finished."""


class ChildKilledError(ChildError, TransientError):
    """The child process was ended from outside. Tried again, it goes on from what it had finished."""


class ChildRefusedError(ChildError):
    """The child process was asked for what cannot be right, such as to go on from another training's checkpoints."""


class OutOfMemoryError(ChildError):
    """The child process, or the device under it, ran out of memory."""


class MemoryShortError(PipelineError):
    """The machine has less free memory than a training takes."""


class DeviceError(PipelineError):
    """The wanted device is not there."""


class RegistryError(PipelineError):
    """The model registry or the ledger holds something that it must not hold."""


class RegistryUnreachableError(TransientError):
    """The registry's server does not answer."""
