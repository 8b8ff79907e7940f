# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The router: clients and uplinks, their addresses, routes, resolvers and the firewall."""
