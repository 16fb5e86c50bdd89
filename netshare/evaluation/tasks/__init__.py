"""What the papers do with traces, done with real and synthetic ones: prediction, sketches, anomaly detection."""
