"""The GPU room: what the NVIDIA driver says, as frozen values. No Textual; pynvml only in nvml.py, in a helper process."""
