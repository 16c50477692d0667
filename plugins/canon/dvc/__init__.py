"""DVC: its dvc.yaml rendered, its file formats without importing it, its experiments by plain Git."""
