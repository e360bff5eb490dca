"""What scripts/demo and the end-to-end tests share: the programs that they start, and how they watch them.

Nothing here is part of the product: it starts programs and looks at them from outside.
"""
