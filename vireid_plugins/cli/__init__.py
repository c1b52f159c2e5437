"""The verbs of the command `vireid`, one module each.

A verb has `add_arguments(parser)` and `main(args)`; the docstring of its module is its help. `vireid_command.plain`
imports these modules first, to parse the command line without torch. At module level they therefore import only the
standard library, and modules of the package that need nothing else; everything else, including the errors, is imported
inside functions.
"""
