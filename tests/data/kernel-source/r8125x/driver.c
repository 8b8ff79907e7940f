/* SPDX-FileCopyrightText: 2026 netvm-build contributors
 * SPDX-License-Identifier: MIT */
/* Made as the vendor's driver of the RTL8125 is, and does nothing.  It takes the bridge of QEMU's q35, too, so that a
 * virtual machine can show that it is found by the device, loaded and bound.
 */
#include <linux/module.h>

#include "chip.h"

static const struct pci_device_id cards[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_REALTEK, 0x8125) },
	{ PCI_DEVICE(PCI_VENDOR_ID_INTEL, 0x2918) },
	{ }
};
MODULE_DEVICE_TABLE(pci, cards);

static int found(struct pci_dev *card, const struct pci_device_id *id)
{
	pr_notice("r8125x: has %s\n", r8125x_chip(card));
	return 0;
}

static struct pci_driver r8125x = { .name = "r8125x", .id_table = cards, .probe = found };
module_pci_driver(r8125x);

MODULE_DESCRIPTION("A driver outside of Linux, for a test");
MODULE_LICENSE("Dual MIT/GPL");
