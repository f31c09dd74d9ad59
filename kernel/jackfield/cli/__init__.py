"""The command line. Help imports neither aiohttp nor any plugin."""
