"""Python plugins in processes of their own: what runs there. `python -m jackfield.rpc_plugin acme_plugin` is the program.

It speaks the out-of-process protocol for a plugin that was written for the host's own process, without a change in the plugin. Nothing
here runs in the host.
"""
