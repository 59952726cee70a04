"""Deliberate faults: one comparison, condition or constant is changed at a time, and a test must notice.

`make mutants` puts a sample of such faults into the modules that decide, each into a copy of the tree, and runs the
quick tests of that module. A fault that no test notices is a missing test, or it is the same to every user: then it
stands in `equivalent.toml` with the reason. No file of the work tree is ever changed.
"""
