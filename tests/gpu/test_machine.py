"""What PCI tells of a card whose driver is not there yet, with files as /sys has them."""

from __future__ import annotations

from pathlib import Path

from xray_tui.gpu.host_probe import pci_gpus, waiting_card


def device(root: Path, address: str, vendor: str = "0x10de", kind: str = "0x030200", driver: str | None = None) -> None:
    folder = root / "sys/bus/pci/devices" / address
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"{vendor}\n")
    (folder / "class").write_text(f"{kind}\n")
    if driver is not None:
        (root / "sys/bus/pci/drivers" / driver).mkdir(parents=True)
        (folder / "driver").symlink_to(f"../../drivers/{driver}")


def test_a_gpu_that_no_driver_has_taken_is_told_by_its_address(tmp_path: Path) -> None:
    device(tmp_path, "0000:00:02.0", vendor="0x8086", kind="0x030000")
    device(tmp_path, "0000:01:00.0", kind="0x040300")  # its sound
    assert waiting_card(tmp_path) is None
    device(tmp_path, "0000:02:00.0", kind="0x030000")
    device(tmp_path, "0000:03:00.0")
    assert waiting_card(tmp_path) == "0000:02:00.0"
    assert [gpu.name for gpu in pci_gpus(tmp_path)] == ["0000:02:00.0", "0000:03:00.0"]


def test_a_gpu_that_some_driver_has_does_not_wait(tmp_path: Path) -> None:
    """In a container without GPUs the host's driver has it; a virtual machine or nouveau may have it as well."""
    for number, driver in enumerate(("nvidia", "vfio-pci", "nouveau")):
        device(tmp_path, f"0000:0{number}:00.0", driver=driver)
    assert waiting_card(tmp_path) is None
    assert len(pci_gpus(tmp_path)) == 3


def test_where_nothing_is_told_there_is_no_card(tmp_path: Path) -> None:
    assert waiting_card(tmp_path) is None
    assert pci_gpus(tmp_path) == []
    (tmp_path / "sys/bus/pci/devices/0000:01:00.0").mkdir(parents=True)
    assert waiting_card(tmp_path) is None
