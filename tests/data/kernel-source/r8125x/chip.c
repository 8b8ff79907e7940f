/* SPDX-FileCopyrightText: 2026 netvm-build contributors
 * SPDX-License-Identifier: MIT */
#include "chip.h"

const char *r8125x_chip(const struct pci_dev *card)
{
	return card->vendor == PCI_VENDOR_ID_REALTEK ? "RTL8125" : "a bridge";
}
