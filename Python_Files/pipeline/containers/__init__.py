"""What the containers of docker-compose.yml do besides the stages: settings, preparation, the first people."""
