/* SPDX-FileCopyrightText: 2026 netvm-build contributors
 * SPDX-License-Identifier: MIT */
#include <linux/pci.h>

const char *r8125x_chip(const struct pci_dev *card);
