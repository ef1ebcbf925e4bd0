"""Installing's second half, starting, stopping: everything that the scripts in the project's folder do in Python."""
