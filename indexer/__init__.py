"""The indexer: folders of pictures -> a collection that can be searched."""
