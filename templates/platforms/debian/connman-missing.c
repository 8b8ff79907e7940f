/* SPDX-FileCopyrightText: 2026 netvm-build contributors
 * SPDX-License-Identifier: MIT */
/* What connmand asks of libraries that it otherwise has no use for.
 *
 * gweb, the HTTP client behind the online check and WISPr (both off), names its errors by GIO; libdbus, which serves
 * buses too, asks systemd for sockets.  With these four functions connmand needs no libgio (and with it libgobject,
 * libmount, libblkid, libselinux …) and no libsystemd: a third of the root, and a tenth of a boot's time under TCG.
 */
#include <gio/gio.h>

GQuark g_io_error_quark(void)
{
	return g_quark_from_static_string("g-io-error-quark");
}

GIOErrorEnum g_io_error_from_errno(gint number)
{
	(void)number;
	return G_IO_ERROR_FAILED;
}

int sd_listen_fds(int unset)
{
	(void)unset;
	return 0;
}

int sd_is_socket(int descriptor, int family, int type, int listening)
{
	(void)descriptor, (void)family, (void)type, (void)listening;
	return 0;
}
