"""Makes the default model: photographs in, a `.tflite` file out; see docs/model-card.md."""
