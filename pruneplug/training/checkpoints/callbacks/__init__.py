"""What Keras callbacks remember."""
