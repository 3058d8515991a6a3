"""Every error that manycore raises of its own: one tree, each message with its cause and the next step.

A failed item raises its own exception type, not one of these. Every class keeps its raw arguments and formats in
`__str__`, so that it survives pickling between worker and caller.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, CancelledError
from pickle import PicklingError

from manycore.remote import RemoteTraceback as RemoteTraceback


class ManycoreError(Exception):
    """Base of every error of manycore's own."""

    summary = "manycore failed: {0}"

    def __str__(self) -> str:
        try:
            return self.summary.format(*self.args)
        except (IndexError, KeyError, ValueError):
            return Exception.__str__(self)


class SettingsError(ManycoreError, ValueError):
    """A setting or an argument that cannot work."""

    summary = "{0}"


class SigningKeyMissing(SettingsError):
    """A cluster was addressed without the key that signs its messages."""

    summary = "There is no signing key for {0}. Set MANYCORE_KEY_FILE (or MANYCORE_KEY) to that of its workers."


class SigningKeyMismatch(ManycoreError):
    """Client and workers sign with different keys."""

    summary = (
        "The workers refuse this client's messages: it signs with key {0}, they accept {1}. "
        "Set MANYCORE_KEY_FILE (or MANYCORE_KEY) to the key that the workers use."
    )


class SigningKeyUnknown(SigningKeyMismatch):
    """Workers sign with a key that this client does not have: it could not read a result of theirs."""

    summary = (
        "The worker {2} signs its results with key {0}, this client has {1} and would refuse them. Add that key to "
        "MANYCORE_KEY_FILE (or MANYCORE_KEY) here; when keys are rotated, it is accepted everywhere before it signs."
    )


class MessageRefused(ManycoreError):
    """A message whose signature, version, size or content does not hold."""

    summary = "The message was refused: {0}"


class ConnectionFailed(ManycoreError, ConnectionError):
    """No server answers at the address, or it went away for longer than `connection_seconds`."""

    summary = "No Redis or Valkey answers at {0}: {1}. Is it running, and is the address (MANYCORE_URL) right?"


class NotTrusted(ConnectionFailed):
    """No connection with TLS came about: another authority, an expired certificate, or no TLS at one of the ends."""

    summary = "No safe connection to the server at {0}: {1}."


class AuthenticationFailed(ConnectionFailed):
    """The server refuses the user name or the password."""

    summary = "The server at {0} refuses the credentials: {1}. Check user and password in the URL (MANYCORE_URL)."


class ServerFull(ManycoreError):
    """The server has no memory left, and takes no new work before there is room."""

    summary = (
        "The server at {0} is full and refuses new work ({1}); what it holds already goes on. "
        "Gather, cancel or delete batches, raise its maxmemory, then submit this again."
    )


class LocalClusterFailed(ManycoreError):
    """The private cluster on this machine did not start, or its worker keeps dying."""

    summary = "The local cluster stopped: {0}\nThe end of its log:\n{1}"

    def __str__(self) -> str:
        return super().__str__() if len(self.args) != 1 else f"The local cluster cannot start: {self.args[0]}."


class ForkedCluster(ManycoreError, RuntimeError):
    """A cluster that was used in a forked child of the process that made it."""

    summary = "This Cluster belongs to process {0}, not to a forked child of it: make a Cluster of its own there."


class ClientBroken(ManycoreError, RuntimeError):
    """A thread of this client's own has ended, so nothing would come back any more."""

    summary = (
        "This client cannot go on: {0}. Something raised an exception in it from outside, or Python is ending. "
        "Make a new Cluster; named batches can be gone on with."
    )


class NestedWork(ManycoreError, RuntimeError):
    """An item submitted work to the fleet that it runs on itself, and would wait for slots that such items hold."""

    summary = (
        "An item of the fleet {0!r} submits to the same fleet: with all slots taken by items that wait for others, "
        "nobody would ever run those. Return what is to be done next instead, or run the outer items on another "
        "fleet: @task(fleet='io')."
    )


class NotPicklable(ManycoreError, PicklingError):
    """A function, an argument, a result or an exception that cannot travel."""

    summary = "{0} cannot be pickled: {1}. Only what pickle or cloudpickle can copy reaches another process."


class NotUnpicklable(ManycoreError):
    """An argument, a function or a result that arrived but cannot be rebuilt there."""

    summary = (
        "{0} cannot be rebuilt by {1}: {2}. If a module is missing there, install it, or send its functions by value "
        "with cloudpickle.register_pickle_by_value(module)."
    )


class PayloadTooLarge(ManycoreError, ValueError):
    """An item, a function or a result above the size limit."""

    summary = (
        "{0} has {1:,} bytes, the limit is {2:,}. cluster.put() an argument, or raise MANYCORE_MAX_ITEM_BYTES on both "
        "ends. For a plain Celery call use Cluster.submit, or raise MANYCORE_MAX_MESSAGE_BYTES."
    )


class ObjectStoreFull(ManycoreError, MemoryError):
    """There is no room for a large object, and none came free in time."""

    summary = "No room in {0} for {1:,} bytes, {2:,} of {3:,} taken: let go of refs, or raise MANYCORE_OBJECTS_BYTES."


class ObjectGone(ManycoreError, LookupError):
    """An object that was put is no longer there, or another cluster's."""

    summary = "No object {0} here: it lives as long as its Ref, the batches it went to, and its cluster, only there."


class CodeTooLarge(ManycoreError, ValueError):
    """The caller's own modules, and the data files that go with them, are above the size limit."""

    summary = (
        "The modules to send have {0:,} files with {1:,} bytes, the limit is {2:,} bytes. The largest: {3}. Leave some "
        "at home by code=Code(exclude=[...]), or send no code at all by code='off' if the workers have it installed."
    )


class UnknownTask(ManycoreError, LookupError):
    """A task name that the workers do not know."""

    summary = "No worker knows the task {0!r}.{1} Workers know the tasks of the modules named in MANYCORE_TASKS."


class CodeDiffers(ManycoreError, UserWarning):
    """The workers' module of a task has another source than the client's: a warning, or with strictness an error."""

    summary = (
        "The task {0!r} runs as the workers have it, which is not as it is here: {1} in {2} there, {3} in {4} here. "
        "Give the workers this file and restart them (docker compose restart cpu io), or take @task off: then the "
        "client's own source travels. MANYCORE_STRICT_CODE=1 makes an error of this."
    )


class FunctionsNotAllowed(ManycoreError, PermissionError):
    """The workers run registered tasks only."""

    summary = (
        "The workers run registered tasks only (MANYCORE_ALLOW_FUNCTIONS=0), and {0} is not one. "
        "Mark it with @task in a module that the workers load (MANYCORE_TASKS)."
    )


class PackageMissing(ManycoreError, ImportError):
    """A package that a batch's code imports, and that workers do not have."""

    summary = "{0} imports {1}, missing on {2}. {3}"


class PackagesFailed(ManycoreError):
    """The packages of a batch, or of a worker, could not be installed: its items could not begin."""

    summary = "The packages {0} cannot be had on {1}: {2}"


class VersionMismatch(ManycoreError):
    """Client and worker differ in a version that the message depends on."""

    summary = (
        "{0} goes by value, as byte code of {1}, which {2} cannot run. Put it into a module of its own beside the "
        "program (modules travel as source), or give the workers the client's Python: run `manycore up` with it where "
        "the stack is."
    )


class WorkerCrashed(ManycoreError):
    """The item killed its worker process each time that it ran, and was put aside."""

    summary = (
        "The item killed its worker process {0} times ({1}); it will not run again. Typical causes are os._exit, a "
        "crash in C code, and the kernel's out-of-memory killer."
    )


class InitializerFailed(ManycoreError, BrokenExecutor):
    """The initializer of a batch raised, or killed its processes, or took too long: its items could not begin."""

    summary = "The initializer {0} failed on a worker: {1}. Mend it, or what it needs there, and run the batch again."


class NoWorkerState(ManycoreError, LookupError):
    """`worker_state()` where no initializer has made anything."""

    summary = "There is no worker state here: only items of a Cluster or batch with an initializer=... have one."


class NotInQuarantine(ManycoreError, LookupError):
    """The quarantine has no entry of this id."""

    summary = "The quarantine has no entry {0!r} (any more). See what there is: manycore quarantine list."


class NotRetryable(ManycoreError):
    """An entry of the quarantine that cannot be run again from there."""

    summary = "The entry {0!r} cannot be retried: {1}. Submit its input again instead."


class ItemTimeout(ManycoreError, TimeoutError):
    """The item ran longer than its `timeout`."""

    summary = "The item ran longer than its timeout of {0:g} s{1}."


class BatchCancelled(ManycoreError, CancelledError):
    """The item has no result because its batch was cancelled."""

    summary = "The batch {0} was cancelled before this item had ended."


class BatchHalted(BatchCancelled):
    """The item has no result because the batch's `halt` policy stopped it."""

    summary = "The batch {0} was halted by its policy {1!r} before this item had ended."


class UnknownBatch(ManycoreError, LookupError):
    """No batch of this id is known to the cluster."""

    summary = "There is no batch {0!r}: none was given that id, or not within MANYCORE_BATCH_TTL_SECONDS."


class BatchIncomplete(ManycoreError):
    """A batch whose client has not sent all of its items."""

    summary = (
        "The batch {0!r} was not sent whole ({1} chunks were): its client is still sending, or it died. "
        "Run the same program with the same id again: it sends only what is missing."
    )


class BatchDetached(ManycoreError):
    """A batch that this process has handed over."""

    summary = "The batch {0!r} was handed over by detach(); gather it with cluster.attach({0!r}), here or elsewhere."


class BatchChanged(ManycoreError, ValueError):
    """A batch id that is taken by a batch with another function or another input."""

    summary = (
        "The batch {0!r} was begun with a different {1} (its function is {2}). Choose another id, or go on with it "
        "all the same by on_change='accept': outcomes that are there already stay as they are."
    )


class RemoteError(ManycoreError):
    """Stands in for an item's exception that cannot be pickled or rebuilt."""

    summary = "{0}: {1} (the exception itself could not travel: {2})"
