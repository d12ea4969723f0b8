"""What made the bundled model and the sample pictures: art, scenes, captions, training, evaluation (see README.md)."""
