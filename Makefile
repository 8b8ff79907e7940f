# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
#
# The same as ./make.sh, for those who have make.  ARGS is handed on: make test ARGS='-k address'
.PHONY: all setup test test-quick test-long test-bare bench clean help
all setup test test-quick test-long test-bare bench clean help:
	@./make.sh $@ $(ARGS)
