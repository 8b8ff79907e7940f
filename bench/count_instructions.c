/* SPDX-FileCopyrightText: 2026 netvm-build contributors
 * SPDX-License-Identifier: MIT */
/* A plugin of QEMU's TCG: adds up the guest's instructions in the first eight bytes of a file, in the host's byte order.
 * usage: -plugin file=count_instructions.so,out=FILE
 * QEMU's header needs GLib's, so what is used of it is declared here (QEMU's docs/devel/tcg-plugins.rst).  A block of
 * instructions counts whole, even where an exception ends it early.  One vCPU only. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*translated)(uint64_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*run)(unsigned int, void *), int flags,
                                          void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);

EXPORT int qemu_plugin_version = 2; /* of QEMU 9.0; later ones take it */

static volatile uint64_t *count;

static void run(unsigned int cpu, void *instructions)
{
    (void)cpu;
    *count += (uintptr_t)instructions;
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, run, 0, (void *)(uintptr_t)qemu_plugin_tb_n_insns(tb));
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    static const char option[] = "out=";
    void *memory = MAP_FAILED;
    int file;

    (void)info;
    if (argc != 1 || strncmp(argv[0], option, sizeof(option) - 1) != 0)
        return -1;
    file = open(argv[0] + sizeof(option) - 1, O_RDWR | O_CLOEXEC);
    if (file >= 0) {
        memory = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        close(file);
    }
    if (memory == MAP_FAILED)
        return -1;
    count = memory;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
