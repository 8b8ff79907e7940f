"""The router: clients and uplinks, their addresses, routes, resolvers and the firewall."""
