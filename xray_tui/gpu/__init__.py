"""GPU readings from the NVIDIA driver as frozen values. No Textual; pynvml is imported in the helper process only."""
