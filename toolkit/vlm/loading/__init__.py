"""From a name, a folder or a hub id to a model whose files fit each other and whose numbers are its own."""
