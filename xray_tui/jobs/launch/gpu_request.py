"""The GPUs that a job asks for, as UUIDs."""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.jobs.model.gpu_policy import GpuPolicy
from xray_tui.jobs.model.job import JobSpec
from xray_tui.jobs.queue.visible_gpus import find_gpu, limit_of_shell


def resolve_request(
    spec: JobSpec, terms: GpuPolicy, snapshot: Callable[[], GpuSnapshot]
) -> tuple[str, tuple[str, ...]]:
    """(spec.gpu with every GPU as a UUID, UUIDs of the GPUs that "auto" may take, empty for all).

    $CUDA_VISIBLE_DEVICES of this process limits both. Raises BadInput with one line if too few GPUs remain for the job.
    """
    wants = resolve_gpu(spec.gpu, snapshot)
    allowed = tuple(resolve_gpu(gpu, snapshot) for gpu in terms.allowed) if wants == "auto" else ()
    limit = None if wants == "none" else limit_of_shell(snapshot)
    if limit is not None:
        named = allowed if wants == "auto" else tuple(wants.split(","))
        within = tuple(uuid for uuid in named or limit.uuids if uuid in limit.uuids)
        if not limit.gpus:
            raise BadInput(f"gpu: {limit.words}; give --gpu none, or unset the variable")
        if wants != "auto" and within != named:
            raise BadInput(f"gpu: {clean(spec.gpu)}: not available: {limit.words}")
        if not within:
            raise BadInput(f"gpu: {limit.words}, and the settings allow only other gpus; give --gpu, or change either")
        allowed = within if wants == "auto" else ()
    if spec.gpu_count > 1:
        check_count(spec.gpu_count, len(allowed) or len(snapshot().gpus))
    return wants, allowed


def resolve_gpu(gpu: str, snapshot: Callable[[], GpuSnapshot]) -> str:
    """Resolve indices, UUIDs and UUID prefixes to comma-separated UUIDs; keep "auto" and "none". Raises BadInput."""
    if gpu in ("auto", "none"):
        return gpu
    uuids = []
    for name in gpu.split(","):
        if not re.fullmatch(r"\d{1,3}|GPU-[0-9A-Za-z-]{1,64}", name):
            raise BadInput(
                f"gpu: {clean(name)[:40] or 'empty'}: give auto, none, indices such as 0 or 0,1, or UUIDs like GPU-…"
            )
        current = snapshot()
        sample = find_gpu(name, current.gpus)
        if sample is None:
            usable = [gpu for gpu in current.gpus if gpu.uuid]
            if not usable:
                raise BadInput(f"gpu: {name}: no such GPU: {clean(current.problem or 'no GPU was found')}")
            if any(gpu.uuid.startswith(name) for gpu in usable):
                raise BadInput(f"gpu: {name}: several UUIDs begin like this; give more of the UUID")
            indices = ", ".join(str(gpu.index) for gpu in usable)
            raise BadInput(f"gpu: {name}: no such GPU; there are {indices}, auto and none")
        uuids.append(sample.uuid)
    if len(set(uuids)) < len(uuids):
        raise BadInput(f"gpu: {clean(gpu)}: names a GPU twice")
    return ",".join(uuids)


def check_count(count: int, available: int) -> None:
    """Raises BadInput if a job needs more GPUs than there are."""
    if count > available:
        problem = f"there {'is' if available == 1 else 'are'} only {available}" if available else "there is no GPU"
        raise BadInput(f"gpus: {count}: {problem}")
