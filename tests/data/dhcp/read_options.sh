# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# Compiles read_options.c with the parser out of ConnMan's patch, and gives it the cases.
mkdir -p /build/gdhcp
cp "$parser" /build/gdhcp/options.h
gcc -g -O1 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all -static-libasan -static-libubsan \
  -I/build "$source" -o /build/read_options -lm
ASAN_OPTIONS=detect_leaks=0 /build/read_options < "$cases" > "$out"
