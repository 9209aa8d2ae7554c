"""How the outputs of each kind of model are read, one module a kind: `layout` imports those it asks."""
