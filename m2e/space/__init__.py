"""The demo: `m2e demo` starts it here, and `space/app.py` on Hugging Face Spaces. Needs gradio."""
