# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which CPU gets an interface's interrupts and packets, on made-up files of /sys and /proc."""

from __future__ import annotations

from pathlib import Path

from init.kernel.steering import spread


def card(folder: Path, name: str, *, queues: int, vectors: list[int], virtio: bool = False) -> None:
    """An interface; its interrupts are the card's, which is a virtio device's parent."""
    pci = folder / "devices" / name
    (pci / "msi_irqs").mkdir(parents=True)
    device = pci / "virtio0" if virtio else pci
    device.mkdir(exist_ok=True)
    (folder / "net" / name).mkdir(parents=True)
    (folder / "net" / name / "device").symlink_to(device)
    for vector in vectors:
        (pci / "msi_irqs" / str(vector)).touch()
        (folder / "irq" / str(vector)).mkdir(parents=True)
        (folder / "irq" / str(vector) / "smp_affinity_list").touch()
    for number in range(queues):
        for kind, file in (("rx", "rps_cpus"), ("tx", "xps_cpus")):
            (folder / "net" / name / "queues" / f"{kind}-{number}").mkdir(parents=True)
            (folder / "net" / name / "queues" / f"{kind}-{number}" / file).touch()


def steered(folder: Path, name: str, cpus: list[int], turn: int = 0, *, client: bool = False) -> dict[str, str]:
    """What was written, by the path of the file."""
    spread(name, cpus, turn, client=client, net=str(folder / "net"), irq=str(folder / "irq"))
    files = [*folder.glob("net/*/queues/*/*"), *folder.glob("irq/*/*")]
    return {str(file.relative_to(folder)): text for file in files if (text := file.read_text())}


def test_an_uplink_of_one_queue_shares_its_packets_out_by_flow(tmp_path: Path) -> None:
    card(tmp_path, "up0", queues=1, vectors=[24])
    assert steered(tmp_path, "up0", [0, 1]) == {"irq/24/smp_affinity_list": "0", "net/up0/queues/rx-0/rps_cpus": "3"}


def test_each_queue_of_an_uplink_has_a_cpu(tmp_path: Path) -> None:
    card(tmp_path, "up0", queues=2, vectors=[24, 25, 26, 27, 28], virtio=True)
    assert steered(tmp_path, "up0", [0, 1]) == {
        **{f"irq/{vector}/smp_affinity_list": cpu for vector, cpu in zip((25, 26, 27, 28), "0011", strict=True)},
        "net/up0/queues/tx-0/xps_cpus": "1",
        "net/up0/queues/tx-1/xps_cpus": "2",
    }


def test_two_queues_on_four_cpus_use_all_four(tmp_path: Path) -> None:
    card(tmp_path, "up0", queues=2, vectors=[24, 25, 26])
    written = steered(tmp_path, "up0", [0, 1, 2, 3])
    assert written["net/up0/queues/rx-1/rps_cpus"] == "f"
    assert [written[f"net/up0/queues/tx-{queue}/xps_cpus"] for queue in (0, 1)] == ["5", "a"]


def test_clients_take_the_cpus_in_turn_and_one_each(tmp_path: Path) -> None:
    for number in range(3):
        card(tmp_path, f"c{number}", queues=1, vectors=[30 + 3 * number, 31 + 3 * number, 32 + 3 * number], virtio=True)
        written = steered(tmp_path, f"c{number}", [0, 1], number, client=True)
    cpus = {31: "0", 32: "0", 34: "1", 35: "1", 37: "0", 38: "0"}
    assert written == {f"irq/{vector}/smp_affinity_list": cpu for vector, cpu in cpus.items()}


def test_what_an_interface_has_not_is_passed_over(tmp_path: Path) -> None:
    assert steered(tmp_path, "gone", [0, 1]) == {}
    card(tmp_path, "up0", queues=0, vectors=[])
    assert steered(tmp_path, "up0", [0, 1]) == {}
    card(tmp_path, "up1", queues=1, vectors=[24])
    (tmp_path / "irq/24/smp_affinity_list").unlink()  # a driver that hasn't asked for it yet
    assert steered(tmp_path, "up1", [0, 1]) == {"net/up1/queues/rx-0/rps_cpus": "3"}


def test_more_than_32_cpus_take_several_words(tmp_path: Path) -> None:
    card(tmp_path, "up0", queues=1, vectors=[24])
    assert steered(tmp_path, "up0", [0, *range(30, 36)])["net/up0/queues/rx-0/rps_cpus"] == "f,c0000001"
