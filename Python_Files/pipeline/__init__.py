"""The pipeline: people from randomuser.me through Kafka into PostgreSQL and NocoDB, each accounted for."""
