"""A library for other programs: a REST server and an MCP server."""
