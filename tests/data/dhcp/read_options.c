/* SPDX-FileCopyrightText: 2026 netvm-build contributors
 * SPDX-License-Identifier: MIT */
/*
 * Reads cases from standard input, and prints what the DHCP client's parser finds in each: a line with the offset of the
 * first such option that is long enough (o, f or s, and a number), its parts joined, and its routes.
 *
 * A case: code, least, the length of its options (two bytes, the high one first), options, file and sname.  Each field is
 * in memory of its own that is no longer than it, so that AddressSanitizer sees whatever is read beside it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "gdhcp/options.h"

#define ROOM 300

static uint8_t *field(size_t len)
{
	uint8_t *made = malloc(len ? len : 1);

	if (!made || fread(made, 1, len, stdin) != len)
		exit(2);
	return made;
}

static void print_place(const char *name, const uint8_t *found, const uint8_t *in, size_t len)
{
	if (found && found >= in && found <= in + len)
		printf("%s%zu ", name, (size_t) (found - in));
}

int main(void)
{
	uint8_t head[4], *joined = malloc(ROOM);

	while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {
		struct dhcp_fields fields = { .options_len = head[2] << 8 | head[3], .file_len = 128, .sname_len = 64 };
		uint8_t *options = field(fields.options_len), *file = field(128), *sname = field(64);
		const uint8_t *found;
		struct dhcp_route route;
		size_t at = 0, took;
		int len;

		fields.options = options;
		fields.file = file;
		fields.sname = sname;
		found = dhcp_find_option(&fields, head[0], head[1]);
		print_place("o", found, options, fields.options_len);
		print_place("f", found, file, 128);
		print_place("s", found, sname, 64);
		if (!found)
			printf("- ");

		len = dhcp_join_option(&fields, head[0], joined, ROOM);
		printf("%d ", len);
		for (int i = 0; i < len; i++)
			printf("%02x", joined[i]);

		uint8_t *exact = malloc(len > 0 ? len : 1);
		if (len > 0)
			memcpy(exact, joined, len);
		printf(" %d", len < 0 ? -1 : dhcp_count_routes(exact, len));
		while (len > 0 && (took = dhcp_read_route(exact + at, len - at, &route))) {
			printf(" %u.%u.%u.%u/%u=%u.%u.%u.%u", route.destination[0], route.destination[1], route.destination[2],
				route.destination[3], route.width, route.router[0], route.router[1], route.router[2], route.router[3]);
			at += took;
		}
		printf("\n");
		free(exact);
		free(options);
		free(file);
		free(sname);
	}
	free(joined);
	return 0;
}
