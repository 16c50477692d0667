"""What runs in the pods of a Workflow beside the user's own command: `canon step plan`, `pull`, `push` and `deliver`."""
