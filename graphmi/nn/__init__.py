"""Layers: graph convolutions, selectors, readouts and similarities. They know tensors only."""
