"""The sentences of 'GPU Status'."""

from __future__ import annotations

from dataclasses import replace

from xray_tui.gpu.export_text import sentences
from xray_tui.gpu.snapshot import GpuProcess, GpuSample, GpuSnapshot

GIB = 1 << 30
IDLE = (
    "No active CUDA training/inference process detected in latest `nvidia-smi` check "
    "(only `C+G` desktop/system processes)."
)
XORG = GpuProcess(6557, "C+G", 420 << 20, "Xorg")
TRAINING = GpuProcess(6554, "C", 60 * GIB, "python")


def gpu(index: int = 0, **values: object) -> GpuSample:
    plain = GpuSample(
        index, f"GPU-{index}", "NVIDIA A100", utilisation=3, memory_used=GIB // 2, memory_total=80 * GIB, processes=()
    )
    return replace(plain, **values)  # type: ignore[arg-type]


def say(*gpus: GpuSample, runs: dict[int, str] | None = None, **values: object) -> list[str]:
    return sentences(GpuSnapshot(gpus=gpus, time=1000.0, **values), runs or {})  # type: ignore[arg-type]


def test_a_machine_that_only_draws_a_desktop_is_idle_letter_for_letter():
    assert say(gpu(0, processes=(XORG,)), gpu(1, processes=(XORG,))) == [IDLE]


def test_the_kinds_are_those_that_were_really_seen():
    assert say(gpu(processes=(GpuProcess(1, "G", 1),))) == [IDLE.replace("`C+G`", "`G`")]
    both = say(gpu(0, processes=(XORG,)), gpu(1, processes=(GpuProcess(1, "G", 1),)))
    assert both == [IDLE.replace("`C+G`", "`C+G` and `G`")]
    assert say(gpu()) == [IDLE.replace("only `C+G` desktop/system processes", "no process")]


def test_a_training_is_named_with_its_gpu_and_the_rest_is_said_to_be_idle():
    lines = say(
        gpu(0, utilisation=97, memory_used=60 * GIB, processes=(TRAINING,)),
        gpu(1, processes=(XORG,)),
        gpu(2),
        runs={6554: "dg_aug_seeds/seed_42"},
    )
    assert lines == [
        "GPU 0 (NVIDIA A100): 97 % utilisation, 60.0 of 80.0 GiB; running `dg_aug_seeds/seed_42`.",
        "GPU 1 and GPU 2: no training or inference process (only `C+G` desktop/system processes).",
    ]


def test_a_foreign_training_is_work_too():
    (line,) = say(gpu(processes=(replace(TRAINING, memory=None), GpuProcess(9, "M+C", GIB))))
    assert line.endswith(
        "2 processes of no known run: `python` (pid 6554, `C`, memory n/a) and (pid 9, `M+C`, 1.0 GiB)."
    )


def test_a_process_that_holds_little_is_told_in_smaller_units():
    (line,) = say(gpu(processes=(GpuProcess(11, "C", 30 << 20, "nvidia-cuda-mps-server"),)))
    assert line.endswith("`nvidia-cuda-mps-server` (pid 11, `C`, 30 MiB).")


def test_many_foreign_processes_are_counted():
    (line,) = say(gpu(processes=tuple(GpuProcess(pid, "C", GIB) for pid in range(20))))
    assert "20 processes of no known run" in line
    assert line.endswith("and 17 more.")


def test_a_gpu_that_a_job_has_is_never_called_idle_or_held_by_strangers_though_no_process_is_listed():
    for used, said in ((GIB // 2, "0.5"), (20 * GIB, "20.0")):
        snapshot = GpuSnapshot(gpus=(gpu(memory_used=used), gpu(1)), time=1000.0)
        assert sentences(snapshot, {}, {"GPU-0": ["a", "a"]}) == [
            f"GPU 0 (NVIDIA A100): 3 % utilisation, {said} of 80.0 GiB; allocated to `a`, no process listed.",
            "GPU 1: no training or inference process (no process).",
        ]
    seen = GpuSnapshot(gpus=(gpu(processes=(TRAINING,)),), time=1000.0)
    assert sentences(seen, {TRAINING.pid: "a"}, {"GPU-0": ["a"]})[0].endswith("; running `a`.")


def test_a_run_that_also_draws_is_a_run():
    (line,) = say(gpu(processes=(XORG,)), runs={XORG.pid: "render"})
    assert line.endswith("running `render`.")


def test_a_busy_gpu_without_a_compute_process_is_never_called_idle():
    (line,) = say(gpu(utilisation=64, processes=(XORG,)))
    assert line == (
        "GPU 0 (NVIDIA A100): 64 % utilisation, 0.5 of 80.0 GiB; busy, although there is no training or inference "
        "process (only `C+G` desktop/system processes)."
    )


def test_memory_that_nobody_listed_holds_is_never_called_idle():
    (line,) = say(gpu(memory_used=12 * GIB, processes=(XORG,)))
    assert "11.6 GiB are held by no listed process" in line
    (line,) = say(gpu(memory_used=12 * GIB, processes=(replace(XORG, memory=None),)))
    assert "11.0 GiB are held by no listed process" in line


def test_a_desktop_that_does_not_tell_its_memory_is_still_a_desktop():
    assert say(gpu(memory_used=GIB + GIB // 2, processes=(replace(XORG, memory=None),))) == [IDLE]


def test_a_list_that_cannot_be_read_is_unavailable_not_empty():
    lines = say(gpu(0, processes=None, processes_problem="no permission"), gpu(1))
    assert lines == [
        "GPU 0 (NVIDIA A100): 3 % utilisation, 0.5 of 80.0 GiB; process list unavailable (no permission).",
        "GPU 1: no training or inference process (no process).",
    ]


def test_one_value_that_a_gpu_does_not_have_does_not_make_it_busy():
    assert say(gpu(utilisation=None, mig=True, processes=(XORG,))) == [IDLE]
    assert say(gpu(memory_used=None, memory_total=None, processes=(XORG,))) == [IDLE]


def test_a_gpu_that_tells_neither_utilisation_nor_memory_is_not_called_idle():
    (line,) = say(gpu(utilisation=None, memory_used=None, memory_total=None, processes=(XORG,)))
    assert line == (
        "GPU 0 (NVIDIA A100): utilisation n/a, memory n/a; whether it is idle is unknown "
        "(its driver reports neither utilisation nor memory)."
    )


def test_a_desktop_process_that_computes_makes_a_gpu_busy_that_does_not_tell_its_utilisation():
    (line,) = say(gpu(utilisation=None, processes=(replace(XORG, sm=80),)))
    assert "; busy, although there is no training" in line


def test_a_value_that_could_not_be_read_is_no_proof_of_idleness():
    (line,) = say(gpu(utilisation=None, note="utilisation: Unknown Error", processes=(XORG,)))
    assert line.endswith("whether it is idle is unknown (utilisation: Unknown Error).")
    assert say(gpu(utilisation=None, mig=True, note="power: Unknown Error", processes=(XORG,))) == [IDLE]


def test_a_lost_gpu_says_what_to_do_and_since_when():
    lost = gpu(1, problem="GPU is lost: reboot", since=820.0, processes=None)
    assert say(gpu(0), lost)[0] == "GPU 1 (NVIDIA A100): GPU is lost: reboot (for 3m00s)."
    nameless = GpuSample(2, "", "GPU 2", problem="no permission: ask", since=1000.0)
    assert say(nameless) == ["GPU 2: no permission: ask."]


def test_no_gpu_is_one_sentence():
    assert sentences(GpuSnapshot(problem="No NVIDIA driver on this machine: x.")) == [
        "No NVIDIA driver on this machine: x."
    ]


def test_while_the_driver_hangs_nothing_is_called_idle():
    lines = say(gpu(processes=(XORG,)), stale="The NVIDIA driver has not answered for 5 s: look.")
    assert lines[0].startswith("The NVIDIA driver has not answered")
    assert lines[1].startswith("Before that there was no training")
    assert IDLE not in lines


def test_while_the_driver_hangs_what_it_said_last_is_told_as_the_past():
    lines = say(gpu(processes=(TRAINING,)), gpu(1), runs={6554: "a"}, stale="The NVIDIA driver has not answered: look.")
    assert lines[1:] == ["Before that: GPU 0 (NVIDIA A100): 3 % utilisation, 0.5 of 80.0 GiB; running `a`."]


def test_a_name_cannot_break_out_of_its_code():
    (line,) = say(gpu(processes=(TRAINING,)), runs={6554: "a`b\n- ``c``\x1b[2J"})
    assert line.endswith("running ``` a`b␊- ``c``␛[2J ```.")
    assert "\n" not in line
    assert "\x1b" not in line
