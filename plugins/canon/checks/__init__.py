"""What `canon check` looks at; nothing here runs or imports code of the user's repository."""
