"""The GPU room: what the NVIDIA driver says, as frozen values. No Textual; pynvml only in the helper process."""
