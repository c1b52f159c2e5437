"""The verbs of the command `vireid`, one module each.

A verb has `add_arguments(parser)` and `main(args)`; the docstring of its module is its help. Modules are first imported
by `vireid_command.plain`, to parse the command line without torch. So their heads import only the standard library, and
modules of the package that need nothing else; all others, the errors too, are imported inside functions.
"""
